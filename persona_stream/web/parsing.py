"""Read the JSON body of a request, and say what is wrong with it in one sentence.

Whole numbers in the query of a request.

What clients of the native endpoints send.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Literal, NoReturn, TypeVar

import msgspec
from flask import Request, g, request
from msgspec import Meta, Struct
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import parse_accept_header

from persona_stream.chunking.registry import names
from persona_stream.core.query import Locale
from persona_stream.errors import InvalidRequest, TooLarge, UnsupportedMediaType

T = TypeVar("T")

_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)", re.ASCII | re.IGNORECASE)


def parse_json_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Read the body of a request.

    Raises:
        InvalidRequest: it is not a JSON object, or a field breaks its rule; the message names the field.
        TooLarge: it is over the limit.
        UnsupportedMediaType: it says that it is no JSON, or is compressed.
    """
    body = _body(request)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON in UTF-8: send one JSON object") from None


def _body(request: Request) -> bytes:
    if request.content_type is not None and not _JSON_TYPE.fullmatch(request.mimetype):
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding: must be left out")
    # Kept beside the request, which lives as long as its stream: for minutes, and in thousands.
    try:
        body = g.body = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidRequest("The body did not come whole, or not in time") from None
    limit = request.max_content_length
    # A body without a length is cut at the limit, silently.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise TooLarge("The body is over the limit")
    return body


def _invalid(problem: str) -> NoReturn:
    # msgspec says «Expected `str`, got `int` - at `$.username`»: name the field first, as a person would.
    text, _, path = problem.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if "missing required field" in text:
        name, text = text.rpartition("field ")[2].strip("`"), "is required"
        field = f"{field}.{name}" if field else name
    if not field:
        raise InvalidRequest(f"The body must be a JSON object: {text}")
    raise InvalidRequest(f"{field}: {text}", re.split(r"[.\[]", field)[0])


_DIGITS = 15  # more than anything here has


def page_limit(default: int, largest: int) -> int:
    """Give how many a page shall have.

    Raises:
        InvalidRequest: it is no number, none at all, or more than ``largest``.
    """
    found = query_int("limit", default)
    if not 1 <= found <= largest:
        raise InvalidRequest(f"limit: must be 1 to {largest}")
    return found


def query_int(name: str, default: int) -> int:
    """Give a number of the query.

    Raises:
        InvalidRequest: it is none.
    """
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidRequest(f"{name}: must be a whole number")
    return int(text)


MAX_TEXT_CHARACTERS = 32_768
_LONGEST_LANGUAGES = 256  # characters: nobody speaks more

# Not `$` at the end: in Python it lets a newline pass.
ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}(?![\s\S])")]


class ChatRequest(Struct, frozen=True):
    """Question to a persona. Unknown fields are ignored; `null` means absent."""

    username: Annotated[str, Meta(min_length=1, max_length=64, description="Name of the persona that answers.")]
    message: Annotated[str, Meta(min_length=1, description="Question: 1 to 32,768 characters after trimming.")]
    prompt: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)] | None, Meta(description="Additional system prompt.")
    ] = None
    prompt_mode: Annotated[
        Literal["append", "replace"] | None,
        Meta(description="Whether `prompt` is appended to the persona's prompt (default) or replaces it."),
    ] = None
    conversation_id: Annotated[
        ConversationId | None, Meta(description="Conversation to continue; a new one is created by default.")
    ] = None
    chunking: Annotated[str | None, Meta(description="How to split the answer; each endpoint has its own default.")] = (
        None
    )
    locale: Annotated[
        Locale | None, Meta(description="Language of status texts; defaults to `Accept-Language`, then `zh`.")
    ] = None
    reasoning: Annotated[bool | None, Meta(description="Whether to send the model's reasoning as separate events.")] = (
        None
    )


_decoder = msgspec.json.Decoder(ChatRequest)


def parse_chat_request(request: Request) -> ChatRequest:
    """Read and check the body of a chat request.

    Raises:
        InvalidRequest: it is not a JSON object, or a field breaks its rule; the message names the field.
    """
    chat = parse_json_body(request, _decoder)
    message = chat.message.strip()
    if not message:
        raise InvalidRequest("message: is blank", "message")
    if len(message) > MAX_TEXT_CHARACTERS:
        raise InvalidRequest(f"message: has {len(message)} characters, and may have {MAX_TEXT_CHARACTERS}", "message")
    if chat.chunking is not None and chat.chunking not in names():
        raise InvalidRequest(f"chunking: is none of {', '.join(names())}", "chunking")
    return msgspec.structs.replace(chat, message=message)


def negotiate_locale(request: Request, wish: Locale | None = None) -> Locale:
    """Choose the reader's language: what was wished for, else what the browser speaks, else Chinese."""
    if wish is not None:
        return wish
    return _spoken(request.headers.get("Accept-Language", "")[:_LONGEST_LANGUAGES])


@lru_cache(256)  # there are few of them, and taking one apart takes its time
def _spoken(accepted: str) -> Locale:
    languages = parse_accept_header(accepted, LanguageAccept)
    return "en" if languages.best_match(("zh", "en"), default="zh") == "en" else "zh"
