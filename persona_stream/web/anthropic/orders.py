"""Make an order of a request for a message."""

from __future__ import annotations

from flask import Request

from persona_stream.core.query import Parameters, Principal, Query
from persona_stream.protocols.anthropic.decoder import (
    CountTokensRequest,
    MessagesRequest,
    choice_of,
    read_count_tokens_request,
    read_messages_request,
    tools_of,
    turns,
)
from persona_stream.runs.request import Order
from persona_stream.web.asking import asker
from persona_stream.web.bearer import caller
from persona_stream.web.desk import Desk
from persona_stream.web.v1.orders import order_of, query_of


def order(request: Request, desk: Desk) -> tuple[Order, MessagesRequest]:
    """Read and check a request for a message, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = asker(request, desk)
    asked = read_messages_request(request)
    query = _query(request, desk, principal, asked, asked.parameters)
    return order_of(request, desk, query, asked, names={"response_format": "output_config"}), asked


def counted(request: Request, desk: Desk) -> Query:
    """Read and check a request whose tokens shall be counted; give what would be asked.

    Raises:
        Refusal: nobody could be asked that.
    """
    principal = caller(request, desk.verifier)
    return _query(request, desk, principal, read_count_tokens_request(request), {})


def _query(
    request: Request, desk: Desk, principal: Principal, asked: CountTokensRequest, parameters: Parameters
) -> Query:
    tools = tools_of(asked.tools)
    return query_of(
        request,
        desk,
        principal,
        model=asked.model,
        turns=turns(asked.system, asked.messages),
        tools=tools,
        tool_choice=choice_of(asked.tool_choice, tools),
        parameters=parameters,
    )
