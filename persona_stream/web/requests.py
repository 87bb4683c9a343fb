"""What clients send: read from JSON, checked, and told what is wrong with it in one sentence."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NoReturn

import msgspec
from flask import Request
from msgspec import Meta, Struct

from persona_stream import chunking
from persona_stream.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from persona_stream.query import Locale

LONGEST_TEXT = 32_768

# Not `$` at the end: in Python it lets a newline pass.
ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}(?![\s\S])")]


class ChatRequest(Struct, frozen=True):
    """One question to a persona."""

    username: Annotated[str, Meta(min_length=1, max_length=64, description="Whose persona answers.")]
    message: Annotated[str, Meta(min_length=1, description="What is asked: 1 to 32,768 characters after trimming.")]
    prompt: Annotated[str, Meta(max_length=LONGEST_TEXT, description="An additional prompt.")] | None = None
    prompt_mode: Literal["append", "replace"] | None = None
    conversation_id: ConversationId | None = None
    chunking: Annotated[str, Meta(description="characters, words or sentences; else the endpoint's own.")] | None = None
    locale: Locale | None = None
    reasoning: bool | None = None


_decoder = msgspec.json.Decoder(ChatRequest)
_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)", re.ASCII | re.IGNORECASE)


def read_chat_request(request: Request) -> ChatRequest:
    """Read and check the body of a chat request.

    Raises:
        InvalidRequest: it is not a JSON object, or a field breaks its rule; the message names the field.
    """
    body = _body(request)
    try:
        chat = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _invalid(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON in UTF-8: send one JSON object") from None
    message = chat.message.strip()
    if not message:
        raise InvalidRequest("message: is blank")
    if len(message) > LONGEST_TEXT:
        raise InvalidRequest(f"message: has {len(message)} characters, and may have {LONGEST_TEXT}")
    if chat.chunking is not None and chat.chunking not in chunking.names():
        raise InvalidRequest(f"chunking: is none of {', '.join(chunking.names())}")
    return msgspec.structs.replace(chat, message=message)


def locale_of(request: Request, wish: Locale | None = None) -> Locale:
    """Choose the reader's language: what was wished for, else what the browser speaks, else Chinese."""
    if wish is not None:
        return wish
    return "en" if request.accept_languages.best_match(("zh", "en"), default="zh") == "en" else "zh"


def _body(request: Request) -> bytes:
    if request.content_type is not None and not _JSON_TYPE.fullmatch(request.mimetype):
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding: must be left out")
    # Not cached: a waiting stream must not hold its request's body for minutes.
    body = request.get_data(cache=False)
    limit = request.max_content_length
    # A body without a length is cut at the limit, silently.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise TooLarge("The body is over the limit")
    return body


def _invalid(problem: str) -> NoReturn:
    # msgspec says «Expected `str`, got `int` - at `$.username`»: name the field first, as a person would.
    text, _, path = problem.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if not field and "missing required field" in text:
        field, text = text.rpartition("field ")[2].strip("`"), "is required"
    raise InvalidRequest(f"{field}: {text}" if field else f"The body must be a JSON object: {text}")
