"""Make an order of a chat request.

Make an order of a conversation, in whatever protocol it came.

Which run a request may join instead of starting one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec
from flask import Request

from persona_stream.backends.router import Route
from persona_stream.core.content import Tool, ToolChoice
from persona_stream.core.projection import SMART, StreamStyle
from persona_stream.core.query import Parameters, Principal, Query, Turn
from persona_stream.core.run_id import new_run_id
from persona_stream.errors import InvalidRequest, ModelNotFound, NotFound, Unavailable
from persona_stream.journals.base import IdempotencyKey
from persona_stream.protocols.conversation import parse_conversation, require_capabilities
from persona_stream.runs.request import RunRequest
from persona_stream.web.auth import authenticate_and_limit
from persona_stream.web.middleware import request_info
from persona_stream.web.parsing import negotiate_locale, parse_chat_request
from persona_stream.web.services import Services

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def idempotency_key_of(request: Request, asked: msgspec.Struct) -> IdempotencyKey:
    """Say which run this request may join.

    SDKs try again by themselves after what looks like a failure, and then send no key but the number of the attempt:
    such a request joins the newest run of the same body, and any other begins one that its retries can join.

    Args:
        request: where to, and with what headers.
        asked: what it asks for, decoded.

    Raises:
        InvalidRequest: its key is none.
    """
    fingerprint = hashlib.sha256(msgspec.json.encode((request.path, asked))).hexdigest()
    key = request.headers.get("Idempotency-Key")
    if key is None:
        attempt = request.headers.get("X-Stainless-Retry-Count", "")
        # No key of a client's has a space in it.
        return IdempotencyKey(f"body {fingerprint}", fingerprint, joins=attempt.isdecimal() and int(attempt[:9]) > 0)
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters", "Idempotency-Key")
    return IdempotencyKey(key, fingerprint)


def build_run_request(request: Request, desk: Services, style: StreamStyle, grace: float | None) -> RunRequest:
    """Read and check a chat request, and say what is to be run for it.

    Raises:
        HTTPError: it cannot be served; nothing was started.
    """
    principal = authenticate_and_limit(request, desk)
    chat = parse_chat_request(request)
    model = desk.router.find(chat.username)
    if model is None:
        raise NotFound("User profile not found")
    if chat.conversation_id is not None and desk.store.unavailable_services():
        raise Unavailable("Conversations cannot be looked up for now: try again in a moment", retry_after=2)
    query = Query(
        username=chat.username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or f"c-{new_run_id(desk.clock())}",
        locale=negotiate_locale(request, chat.locale),
        persona=model.persona,
        principal=principal,
    )
    return RunRequest(
        query=query,
        backend=model.backend,
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
    desk: Services,
    principal: Principal,
    *,
    model: str,
    turns: Sequence[Turn],
    tools: tuple[Tool, ...],
    tool_choice: ToolChoice | None,
    parameters: Parameters,
) -> Query:
    """Make a query of a conversation.

    Raises:
        InvalidRequest: there is nothing to answer in it, or all is too long.
        ModelNotFound: nobody answers to this name.
    """
    said = parse_conversation(turns)
    return Query(
        username=model,
        message=said.message,
        parts=said.parts,
        conversation_id=f"c-{new_run_id(desk.clock())}",
        locale=negotiate_locale(request),
        persona=resolve_model(desk, model).persona,
        history=said.history,
        tool_turns=said.tool_turns,
        tools=tools,
        tool_choice=tool_choice,
        parameters=parameters,
        principal=principal,
    )


def build_v1_run_request(
    request: Request, desk: Services, query: Query, asked: msgspec.Struct, names: Mapping[str, str] | None = None
) -> RunRequest:
    """Say what is to be run for a query.

    Args:
        request: where to, and with what headers.
        desk: who answers.
        query: what is asked for, in our words.
        asked: the same, in the protocol's.
        names: fields that the protocol has under other names than OpenAI's.

    Raises:
        InvalidRequest: what answers here cannot do that, or the request's idempotency key is none.
    """
    backend = resolve_model(desk, query.username).backend
    require_capabilities(query, backend, names)
    return RunRequest(
        query=query,
        backend=backend,
        style=SMART.name,
        chunking=SMART.chunking,
        reasoning=True,
        grace=desk.settings.disconnect_grace_v1,
        idempotency_key=idempotency_key_of(request, asked),
        request_info=request_info(request),
    )


def resolve_model(desk: Services, name: str) -> Route:
    """Give who answers to a name.

    Raises:
        ModelNotFound: nobody does.
    """
    model = desk.router.find(name)
    if model is None:
        raise ModelNotFound
    return model
