"""Parsing of requests: JSON bodies, query strings, the locale, and whole run requests with their idempotency key.

An error message is one sentence that starts with the name of the invalid field.
"""

import codecs
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from flask import Request, g, request
from msgspec import DecodeError, Meta, Struct, ValidationError, json, structs
from werkzeug import datastructures, exceptions, http

from persona_stream.backends.router import Route
from persona_stream.chunking.registry import names
from persona_stream.core import content, run_id
from persona_stream.core.projection import SMART, StreamStyle
from persona_stream.core.query import Locale, Parameters, Principal, Query, Turn
from persona_stream.errors import InvalidRequest, ModelNotFound, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from persona_stream.journals.base import IdempotencyKey
from persona_stream.protocols.conversation import (
    decode_raw_messages,
    omit_unsupported_results,
    parse_conversation,
    require_capabilities,
)
from persona_stream.runs.base import RequestInfo, RunRequest
from persona_stream.web import auth, negotiation
from persona_stream.web.services import Services

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
_SDK_KEY = "body "  # a client's key has no space
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_MAX_HEADER_CHARACTERS = 4096
_SECRET_WORDS = ("authorization", "cookie", "key", "password", "secret", "token")

_CONVERSATION_HEADER = "X-Conversation-Id"
_CONVERSATION_FIELD = "metadata.conversation_id"
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

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
    return decode_raw_messages(g.body)


def _read_body(request: Request) -> bytes:
    if request.content_type is not None and not _JSON_TYPE.fullmatch(request.mimetype):
        raise UnsupportedMediaType("Content-Type: must be application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding: compressed bodies are not supported")
    # Not cached in the request, which lives as long as its stream: for minutes, and in thousands.
    try:
        body = request.get_data(cache=False)
    except exceptions.ClientDisconnected:
        raise InvalidRequest("The body is incomplete or came too slowly") from None
    body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259 §8.1: must not be sent, may be ignored
    g.body = body
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
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidRequest(f"{name}: must be a whole number")
    return int(text)


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
    return structs.replace(chat, message=message)


def negotiate_locale(request: Request, requested: Locale | None = None) -> Locale:
    """Return the language of texts: the requested one, else the best of ``Accept-Language``, else the protocol's."""
    if requested is not None:
        return requested
    accepted = request.headers.get("Accept-Language", "")[:_MAX_ACCEPT_LANGUAGE_CHARACTERS]
    return _best_locale(accepted, negotiation.protocol_of(request).default_locale)


@lru_cache(256)  # few distinct values, and parsing one is slow
def _best_locale(accept_language: str, default: Locale) -> Locale:
    for language, quality in http.parse_accept_header(accept_language, datastructures.LanguageAccept):
        match language.partition("-")[0].lower(), quality > 0:
            case ("en" | "zh") as locale, True:
                return locale
    return default


def requested_conversation(request: Request, in_metadata: object = None) -> str | None:
    """Return the conversation that a request of another protocol names in a header or in its metadata, if it does.

    Raises:
        InvalidRequest: It is not a conversation id, or the two differ.
    """
    in_header = request.headers.get(_CONVERSATION_HEADER)
    for field, value in ((_CONVERSATION_HEADER, in_header), (_CONVERSATION_FIELD, in_metadata)):
        if value is not None and not (isinstance(value, str) and _CONVERSATION_ID.fullmatch(value)):
            raise InvalidRequest(
                f"{field}: must be 1 to 128 characters of A-Z a-z 0-9 . _ : -", field.partition(".")[0]
            )
    if in_header is not None and in_metadata not in (None, in_header):
        raise InvalidRequest(f"{_CONVERSATION_FIELD}: differs from {_CONVERSATION_HEADER}", "metadata")
    return in_header if in_metadata is None else str(in_metadata)


def _as_continuation(query: Query) -> Query:
    """Return a query to which the stored history can be added: its instructions become its prompt."""
    return replace(query, prompt="\n\n".join(turn.content for turn in query.history) or None, history=())


def idempotency_key_of(request: Request, body: Struct, conversation_id: str | None = None) -> IdempotencyKey:
    """Return the key by which a request joins an existing run instead of starting one.

    Official SDKs retry apparent failures without a key, but with the number of the attempt: such a retry joins the
    newest run with the same body, and any other request starts a run that its retries can join.

    Raises:
        InvalidRequest: The header Idempotency-Key is malformed.
    """
    identity = (request.path, body) if conversation_id is None else (request.path, body, conversation_id)
    fingerprint = hashlib.sha256(json.encode(identity)).hexdigest()
    key = request.headers.get("Idempotency-Key")
    if key is None:
        attempt = request.headers.get("X-Stainless-Retry-Count", "")
        is_retry = attempt.isdecimal() and int(attempt[:9]) > 0
        return IdempotencyKey(_SDK_KEY + fingerprint, fingerprint, joins=is_retry)
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters", "Idempotency-Key")
    return IdempotencyKey(key, fingerprint)


def is_sdk_retry(key: IdempotencyKey) -> bool:
    """Return whether a key is that of an SDK's retry, which has none of its own."""
    return key.joins and key.key.startswith(_SDK_KEY)


def build_run_request(request: Request, services: Services, style: StreamStyle, grace: float | None) -> RunRequest:
    """Return the run request of a native chat request; it lives on without subscribers for ``grace`` seconds.

    Raises:
        HTTPError: The request cannot be served; nothing was started.
    """
    principal = auth.authenticate_and_limit(request, services)
    chat = parse_chat_request(request)
    route = services.router.find(chat.username)
    if route is None:
        raise NotFound("User profile not found")
    if chat.conversation_id is not None:
        _require_conversations(services)
    query = Query(
        username=chat.username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or _new_conversation_id(services),
        locale=negotiate_locale(request, chat.locale),
        persona=route.persona,
        principal=principal,
    )
    return RunRequest(
        query=query,
        backend=route.backend,
        style=style.name,
        chunking=chat.chunking or style.chunking,
        reasoning=bool(chat.reasoning),
        grace=grace,
        idempotency_key=idempotency_key_of(request, chat),
        request_info=request_info(request),
        continues_conversation=chat.conversation_id is not None,
    )


def build_query(
    request: Request,
    services: Services,
    principal: Principal,
    *,
    model: str,
    turns: Sequence[Turn],
    parameters: Parameters,
    tools: tuple[content.Tool, ...] = (),
    tool_choice: content.ToolChoice | None = None,
    turns_field: str = "messages",
) -> Query:
    """Return the query of a request that brings its whole conversation, in the field ``turns_field``.

    Raises:
        InvalidRequest: The conversation has no message to answer, or is too long.
        ModelNotFound: No model has this name.
    """
    conversation = parse_conversation(turns, turns_field)
    return Query(
        username=model,
        message=conversation.message,
        parts=conversation.parts,
        conversation_id=_new_conversation_id(services),
        locale=negotiate_locale(request),
        persona=resolve_model(services, model).persona,
        history=conversation.history,
        tool_turns=conversation.tool_turns,
        tools=tools,
        tool_choice=tool_choice,
        parameters=parameters,
        _protocol=negotiation.protocol_of(request).name,
        principal=principal,
    )


def build_v1_run_request(
    request: Request,
    services: Services,
    query: Query,
    body: Struct,
    conversation_id: object = None,
    field_names: Mapping[str, str] | None = None,
) -> RunRequest:
    """Return the run request of a query that came in a provider's protocol.

    A request that names a conversation and has no history of its own gets the stored one; the two are never merged.

    Args:
        request: The request.
        services: The services.
        query: The query.
        body: The decoded body.
        conversation_id: The conversation that the body names, if it does.
        field_names: The protocol's names of fields that OpenAI names otherwise, by OpenAI's name.

    Raises:
        InvalidRequest: The backend lacks a capability, or the idempotency key or the conversation id is malformed.
        Unavailable: The conversation store is unavailable.
    """
    conversation = requested_conversation(request, conversation_id)
    continues = False
    if conversation is not None:
        query = replace(query, conversation_id=conversation)
        continues = not query.tool_turns and all(turn.role == "system" for turn in query.history)
    if continues:
        _require_conversations(services)
        query = _as_continuation(query)
    backend = resolve_model(services, query.username).backend
    query = omit_unsupported_results(query, backend)
    require_capabilities(query, backend, field_names)
    return RunRequest(
        query=query,
        backend=backend,
        style=SMART.name,
        chunking=SMART.chunking,
        reasoning=True,
        grace=services.settings.disconnect_grace_v1,
        idempotency_key=idempotency_key_of(request, body, conversation),
        request_info=request_info(request),
        continues_conversation=continues,
    )


def resolve_model(services: Services, name: str) -> Route:
    """Return the route of a model or persona name; raise ``ModelNotFound`` if there is none."""
    route = services.router.find(name)
    if route is None:
        raise ModelNotFound
    return route


def _require_conversations(services: Services) -> None:
    if services.store.unavailable_services():
        raise Unavailable("The conversation store is unavailable; retry in 2 s", retry_after=2)


def _new_conversation_id(services: Services) -> str:
    return f"c-{run_id.new_run_id(services.clock())}"


def request_info(request: Request) -> RequestInfo:
    """Return the details of a request that the log keeps with its run."""
    return RequestInfo(
        endpoint=request.path,
        protocol=negotiation.protocol_of(request).name,
        method=request.method,
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", "")[:_MAX_HEADER_CHARACTERS],
        headers=redact_headers(request.headers.items()),
        body=g.pop("body", b""),
    )


def redact_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return headers with the values of credentials replaced."""
    return tuple((name, "***" if _is_secret(name) else value[:_MAX_HEADER_CHARACTERS]) for name, value in headers)


@lru_cache(1024)  # nearly all requests have the same names; bounded, since clients choose them
def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)
