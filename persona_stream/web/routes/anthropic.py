"""``/v1/messages``: Anthropic's protocol, for the clients that speak it already.

Make an order of a request for a message.
"""

from __future__ import annotations

from flask import Blueprint, Request, Response

from persona_stream.core.query import Parameters, Principal, Query
from persona_stream.core.usage import tokens_of
from persona_stream.protocols.anthropic.decoder import (
    CountTokensRequest,
    MessagesRequest,
    check_messages_request,
    choice_of,
    count_tokens_decoder,
    messages_decoder,
    tools_of,
    turns,
)
from persona_stream.protocols.anthropic.encoder import Anthropic, message
from persona_stream.protocols.anthropic.schemas import TokenCount
from persona_stream.protocols.base import to_json
from persona_stream.runs.request import Order
from persona_stream.web.auth import asker, caller
from persona_stream.web.blocking import answer, fails_soon, whole
from persona_stream.web.negotiation import check_streamable
from persona_stream.web.parsing import read
from persona_stream.web.responses import current
from persona_stream.web.run_requests import order_of, query_of
from persona_stream.web.services import Desk
from persona_stream.web.streaming import stream


def order(request: Request, desk: Desk) -> tuple[Order, MessagesRequest]:
    """Read and check a request for a message, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = asker(request, desk)
    asked = read(request, messages_decoder)
    check_messages_request(asked)
    query = _query(request, desk, principal, asked, asked.parameters)
    return order_of(request, desk, query, asked, names={"response_format": "output_config"}), asked


def counted(request: Request, desk: Desk) -> Query:
    """Read and check a request whose tokens shall be counted; give what would be asked.

    Raises:
        Refusal: nobody could be asked that.
    """
    principal = caller(request, desk.verifier)
    asked = read(request, count_tokens_decoder)
    check_messages_request(asked)
    return _query(request, desk, principal, asked, {})


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


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of Anthropic's addresses."""
    blueprint = Blueprint("anthropic", __name__)

    @blueprint.post("/v1/messages")
    def messages() -> Response:
        request = current()
        made, asked = order(request, desk)
        if not asked.stream:
            return answer(request, desk, desk.runs.start(made), message)
        check_streamable(request)
        journal = desk.runs.start(made)
        if fails_soon(request, desk, journal):
            return whole(request, desk, journal, message)
        return stream(request, desk, journal, dialect=Anthropic(journal.entries))

    @blueprint.post("/v1/messages/count_tokens")
    def count_tokens() -> Response:
        body = to_json(TokenCount(input_tokens=tokens_of(counted(current(), desk))))
        return Response(body, content_type="application/json")

    return blueprint
