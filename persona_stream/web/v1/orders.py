"""Make an order of a conversation, in whatever protocol it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from flask import Request

from persona_stream.backends.router import Model
from persona_stream.core import run_id as runid
from persona_stream.core.content import Tool, ToolChoice
from persona_stream.core.projection import SMART
from persona_stream.core.query import Parameters, Principal, Query, Turn
from persona_stream.errors import ModelNotFound
from persona_stream.protocols.conversation import check_abilities, talk
from persona_stream.runs.request import Order
from persona_stream.web.claims import claim
from persona_stream.web.desk import Desk
from persona_stream.web.origins import origin_of
from persona_stream.web.requests import locale_of


def query_of(
    request: Request,
    desk: Desk,
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
    said = talk(turns)
    return Query(
        username=model,
        message=said.message,
        parts=said.parts,
        conversation_id=f"c-{runid.new(desk.clock())}",
        locale=locale_of(request),
        persona=model_of(desk, model).persona,
        history=said.history,
        since=said.since,
        tools=tools,
        tool_choice=tool_choice,
        parameters=parameters,
        principal=principal,
    )


def order_of(
    request: Request, desk: Desk, query: Query, asked: msgspec.Struct, names: Mapping[str, str] | None = None
) -> Order:
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
    backend = model_of(desk, query.username).backend
    check_abilities(query, backend, names)
    return Order(
        query=query,
        backend=backend,
        style=SMART.name,
        chunking=SMART.chunking,
        reasoning=True,
        grace=desk.settings.disconnect_grace_v1,
        claim=claim(request, asked),
        origin=origin_of(request),
    )


def model_of(desk: Desk, name: str) -> Model:
    """Give who answers to a name.

    Raises:
        ModelNotFound: nobody does.
    """
    model = desk.models.find(name)
    if model is None:
        raise ModelNotFound
    return model
