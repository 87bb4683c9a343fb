"""Make an order of a request for a completion."""

from __future__ import annotations

from flask import Request

from persona_stream.protocols.openai.decoder import (
    ChatCompletionRequest,
    choice_of,
    read_completion_request,
    tools_of,
    turns,
)
from persona_stream.runs.request import Order
from persona_stream.web.asking import asker
from persona_stream.web.desk import Desk
from persona_stream.web.v1.orders import order_of, query_of


def order(request: Request, desk: Desk) -> tuple[Order, ChatCompletionRequest]:
    """Read and check a request for a completion, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = asker(request, desk)
    asked = read_completion_request(request)
    tools = tools_of(asked.tools)
    query = query_of(
        request,
        desk,
        principal,
        model=asked.model,
        turns=turns(asked.messages),
        tools=tools,
        tool_choice=choice_of(asked.tool_choice, tools),
        parameters=asked.parameters,
    )
    return order_of(request, desk, query, asked), asked
