"""Run requests: what a request of any protocol starts, its idempotency key, and the details that the log keeps."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from flask import Request
from msgspec import Struct, json

from persona_stream.backends.router import Route
from persona_stream.core import content, run_id
from persona_stream.core.projection import SMART, StreamStyle
from persona_stream.core.query import Parameters, Principal, Query, Turn
from persona_stream.errors import InvalidRequest, ModelNotFound, NotFound, Unavailable
from persona_stream.journals.base import IdempotencyKey
from persona_stream.protocols.attachments import parse_native
from persona_stream.protocols.conversation import (
    omit_unsupported_attachments,
    parse_conversation,
    require_capabilities,
)
from persona_stream.runs.base import RequestInfo, RunRequest
from persona_stream.web import auth, negotiation, parsing, responses
from persona_stream.web.services import Services

_SDK_KEY = "body "  # a client's key has no space
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_MAX_HEADER_CHARACTERS = 4096
_SECRET_WORDS = ("authorization", "cookie", "key", "password", "secret", "token")

_CONVERSATION_HEADER = "X-Conversation-Id"
_CONVERSATION_FIELD = "metadata.conversation_id"
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def requested_conversation(
    request: Request, in_body: object = None, body_field: str = _CONVERSATION_FIELD
) -> str | None:
    """Return the conversation that a request of another protocol names in a header or in its body, if it does.

    Raises:
        InvalidRequest: It is not a conversation id, or the two differ.
    """
    in_header = request.headers.get(_CONVERSATION_HEADER)
    for field, value in ((_CONVERSATION_HEADER, in_header), (body_field, in_body)):
        if value is not None and not (isinstance(value, str) and _CONVERSATION_ID.fullmatch(value)):
            raise InvalidRequest(
                f"{field}: must be 1 to 128 characters of A-Z a-z 0-9 . _ : -", field.partition(".")[0]
            )
    if in_header is not None and in_body not in (None, in_header):
        raise InvalidRequest(f"{body_field}: differs from {_CONVERSATION_HEADER}", body_field.partition(".")[0])
    return in_header if in_body is None else str(in_body)


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


def build_run_request(
    request: Request, services: Services, style: StreamStyle, grace: float | None, *, can_ask: bool = False
) -> RunRequest:
    """Return the run request of a native chat request; it lives on without subscribers for ``grace`` seconds.

    ``can_ask``: whether the backend may ask the user while the run is in progress.

    Raises:
        HTTPError: The request cannot be served; nothing was started.
    """
    principal = auth.authenticate_and_limit(request, services)
    chat = parsing.parse_chat_request(request)
    username = chat.username or default_name(services, "username")
    route = resolve_persona(services, username)
    if chat.conversation_id is not None:
        _require_conversations(services)
    query = Query(
        username=username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or _new_conversation_id(services),
        locale=parsing.negotiate_locale(request, services.settings.locale, chat.locale),
        persona=route.persona,
        timeout=_run_timeout(request, services, chat.timeout),
        principal=principal,
        _can_ask=can_ask,
    )
    if chat.attachments:
        query = replace(query, parts=(query.message, *parse_native(chat.attachments)))
        require_capabilities(query, route.backend, {"messages": "attachments"})
    return RunRequest(
        query=query,
        backend=route.backend,
        style=style.name,
        chunking=chat.chunking or style.chunking,
        reasoning=bool(chat.reasoning),
        grace=grace,
        idempotency_key=idempotency_key_of(request, chat),
        request_info=request_info(request, services),
        is_fresh=_is_fresh(request),
        continues_conversation=chat.conversation_id is not None,
        keeps_exchange=True,
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
        locale=parsing.negotiate_locale(request, services.settings.locale),
        persona=resolve_model(services, model).persona,
        history=conversation.history,
        tool_turns=conversation.tool_turns,
        tools=tools,
        tool_choice=tool_choice,
        parameters=parameters,
        _protocol=negotiation.protocol_of(request).name,
        timeout=_run_timeout(request, services),
        principal=principal,
    )


def build_v1_run_request(
    request: Request,
    services: Services,
    query: Query,
    body: Struct,
    conversation_id: object = None,
    conversation_field: str = _CONVERSATION_FIELD,
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
        conversation_field: The field of the body that names it.
        field_names: The protocol's names of fields that OpenAI names otherwise, by OpenAI's name.

    Raises:
        InvalidRequest: The backend lacks a capability, or the idempotency key or the conversation id is malformed.
        Unavailable: The conversation store is unavailable.
    """
    conversation = requested_conversation(request, conversation_id, conversation_field)
    continues = False
    if conversation is not None:
        query = replace(query, conversation_id=conversation)
        continues = not query.tool_turns and all(turn.role == "system" for turn in query.history)
    if continues:
        _require_conversations(services)
        query = _as_continuation(query)
    backend = resolve_model(services, query.username).backend
    query = omit_unsupported_attachments(query, backend)
    require_capabilities(query, backend, field_names)
    return RunRequest(
        query=query,
        backend=backend,
        style=SMART.name,
        chunking=SMART.chunking,
        reasoning=True,
        grace=services.settings.disconnect_grace_v1,
        idempotency_key=idempotency_key_of(request, body, conversation),
        request_info=request_info(request, services),
        is_fresh=_is_fresh(request),
        continues_conversation=continues,
        keeps_exchange=continues,
    )


def resolve_persona(services: Services, username: str) -> Route:
    """Return the route of a persona; raise ``NotFound`` if there is none."""
    route = services.router.find(username)
    if route is None:
        raise NotFound("User profile not found")
    return route


def _is_fresh(request: Request) -> bool:
    """Return whether a client wants no cached answer."""
    return "no-cache" in request.headers.get("Cache-Control", "").lower()


def _run_timeout(request: Request, services: Services, requested: float | None = None) -> float | None:
    """Return the deadline of a run: the request's own, else its endpoint's, else ``None`` for the server's."""
    if requested is None:
        return services.timeouts.get(request.path)
    longest = services.settings.max_request_timeout
    if requested > longest:
        raise InvalidRequest(f"timeout: must be at most {longest:g} seconds (max_timeout)", "timeout")
    return requested


def default_name(services: Services, field: str) -> str:
    """Return the name of a request without one; raise ``InvalidRequest`` if it must name a persona in this field."""
    if services.router.default is None:
        names = ", ".join(services.router.names[:5])
        raise InvalidRequest(f"{field}: is required; it names the persona that answers, such as {names}", field)
    return services.router.default.name


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


def request_info(request: Request, services: Services) -> RequestInfo:
    """Return the details of a request that the observers of its run read."""
    body = responses.current_request().take_body()
    protocol = negotiation.protocol_of(request).name
    if not services.runs.reads_requests:
        return RequestInfo(endpoint=request.path, protocol=protocol)
    return RequestInfo(
        endpoint=request.path,
        protocol=protocol,
        method=request.method,
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", "")[:_MAX_HEADER_CHARACTERS],
        headers=redact_headers(request.headers.items()),
        body=body,
    )


def redact_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return headers with the values of credentials replaced."""
    return tuple((name, "***" if _is_secret(name) else value[:_MAX_HEADER_CHARACTERS]) for name, value in headers)


@lru_cache(1024)  # nearly all requests have the same names; bounded, since clients choose them
def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)
