"""Parsing of requests: JSON bodies, query strings, the native chat request, and the locale.

An error message is one sentence that starts with the name of the invalid field.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from flask import Request
from msgspec import DecodeError, Meta, Struct, ValidationError, json, structs
from werkzeug import datastructures, exceptions, http

from persona_stream.chunking.registry import names
from persona_stream.core import i18n
from persona_stream.core.query import Locale
from persona_stream.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from persona_stream.protocols.attachments import MAX_ATTACHMENTS, NativeAttachment
from persona_stream.protocols.conversation import decode_raw_messages
from persona_stream.web import negotiation, responses

T = TypeVar("T")

MAX_TEXT_CHARACTERS = 32_768
_MAX_ACCEPT_LANGUAGE_CHARACTERS = 256
_MAX_DIGITS = 15  # of a number in a query string
_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)", re.ASCII | re.IGNORECASE)
# An escaped half of a surrogate pair, after an even number of backslashes.
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*(?P<half>\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)

Name = Annotated[str, Meta(min_length=1, max_length=64)]

# Not `$` at the end: in Python it matches before a final newline.
ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}(?![\s\S])")]


def parse_json_body(request: Request, decoder: json.Decoder[T]) -> T:
    """Return the decoded body of a request.

    Raises:
        InvalidRequest: The body is not a JSON object, or a field is invalid; the message names the field.
        TooLarge: The body exceeds the limit.
        UnsupportedMediaType: The body is declared as something other than JSON, or is compressed.
    """
    body = _read_body(request)
    try:
        return decoder.decode(body)
    except ValidationError as error:
        _raise_invalid(str(error))
    except (DecodeError, UnicodeDecodeError, RecursionError):
        # msgspec names no position, and clients that cut a text inside an emoji send this again and again.
        if found := _LONE_SURROGATE.search(body):
            half = f"half of a surrogate pair ({found['half'].decode()}): a text was cut inside a character"
            raise InvalidRequest(f"The body is not valid JSON: it has {half}") from None
        raise InvalidRequest("The body is not valid JSON in UTF-8: send one JSON object") from None


def raw_messages() -> Sequence[Mapping[str, Any]]:
    """Return the messages of the body that was decoded last, with all their fields."""
    return decode_raw_messages(responses.current_request().body)


def _read_body(request: Request) -> bytes:
    if not _is_json(request.headers.get("Content-Type")):
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding: compressed bodies are not supported")
    # Not cached in the request, which lives as long as its stream: for minutes, and in thousands.
    current = responses.current_request()
    body = current.received_body
    current.received_body = None
    if body is None:
        body = _receive_body(request)
    body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259 §8.1: must not be sent, may be ignored
    current.body = body
    return body


def _is_json(content_type: str | None) -> bool:
    return content_type is None or _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()) is not None


def _receive_body(request: Request) -> bytes:
    try:
        body = request.get_data(cache=False)
    except exceptions.ClientDisconnected:
        raise InvalidRequest("The body is incomplete or came too slowly") from None
    except exceptions.HTTPException:
        raise
    except Exception as error:  # each WSGI server has exceptions of its own for wrong framing
        raise InvalidRequest("The body is malformed: its chunks or its length are wrong") from error
    limit = request.max_content_length
    # werkzeug truncates a body without Content-Length at the limit, without an error.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise TooLarge("The request body is too large")
    return body


def _raise_invalid(problem: str) -> NoReturn:
    # msgspec writes "Expected `str`, got `int` - at `$.username`": put the field first.
    text, _, path = problem.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if "missing required field" in text:
        name = text.rpartition("field ")[2].strip("`")
        text = "is required"
        field = f"{field}.{name}" if field else name
    if not field:
        raise InvalidRequest(f"The body must be a JSON object: {text}")
    raise InvalidRequest(f"{field}: {text}", re.split(r"[.\[]", field)[0])


def page_limit(default: int, maximum: int) -> int:
    """Return the page size of a request; raise ``InvalidRequest`` unless it is from 1 to ``maximum``."""
    limit = query_int("limit", default)
    if not 1 <= limit <= maximum:
        raise InvalidRequest(f"limit: must be 1 to {maximum}")
    return limit


def query_int(name: str, default: int) -> int:
    """Return a number of the query string; raise ``InvalidRequest`` if it is not a whole number."""
    text = responses.current_request().args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidRequest(f"{name}: must be a whole number")
    return int(text)


class ChatRequest(Struct, frozen=True):
    """Question to a persona. Unknown fields are ignored; `null` means absent."""

    message: Annotated[str, Meta(min_length=1, description="Question: 1 to 32,768 characters after trimming.")]
    username: Annotated[
        Name | None, Meta(description="Name of the persona that answers; optional on a server without personas.")
    ] = None
    persona: Annotated[Name | None, Meta(description="Another name of the field `username`.")] = None
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
    timeout: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Deadline of the run in seconds, at most the server's `max_timeout`."),
    ] = None
    attachments: Annotated[
        Annotated[list[NativeAttachment], Meta(max_length=MAX_ATTACHMENTS)] | None,
        Meta(description="Images, files and recordings for a backend that reads them; rejected by others."),
    ] = None
    reasoning: Annotated[bool | None, Meta(description="Whether to send the model's reasoning as separate events.")] = (
        None
    )


_decoder = json.Decoder(ChatRequest)


def parse_chat_request(request: Request) -> ChatRequest:
    """Return the validated body of a native chat request; raises as ``parse_json_body`` does."""
    chat = parse_json_body(request, _decoder)
    message = chat.message.strip()
    if not message:
        raise InvalidRequest("message: must not be empty", "message")
    if len(message) > MAX_TEXT_CHARACTERS:
        limit = f"at most {MAX_TEXT_CHARACTERS} are allowed"
        raise InvalidRequest(f"message: has {len(message)} characters, {limit}", "message")
    if chat.chunking is not None and chat.chunking not in names():
        raise InvalidRequest(f"chunking: must be one of {', '.join(names())}", "chunking")
    if chat.locale is not None and chat.locale not in i18n.languages():
        raise InvalidRequest(f"locale: must be one of {', '.join(i18n.languages())}", "locale")
    if chat.persona is not None and chat.username not in (None, chat.persona):
        raise InvalidRequest("persona: differs from username, which is the same field", "persona")
    return structs.replace(chat, message=message, username=chat.username or chat.persona, persona=None)


def negotiate_locale(request: Request, configured: Locale | None, requested: Locale | None = None) -> Locale:
    """Return the requested language, else the best of ``Accept-Language``, the configured one, that of the protocol."""
    if requested is not None:
        return requested
    accepted = request.headers.get("Accept-Language", "")[:_MAX_ACCEPT_LANGUAGE_CHARACTERS]
    return _best_locale(accepted, configured or negotiation.protocol_of(request).default_locale, i18n.languages())


@lru_cache(256)  # few distinct values, and parsing one is slow
def _best_locale(accept_language: str, default: Locale, known: tuple[Locale, ...]) -> Locale:
    for language, quality in http.parse_accept_header(accept_language, datastructures.LanguageAccept):
        locale = language.partition("-")[0].lower()
        if locale in known and quality > 0:
            return locale
    return default
