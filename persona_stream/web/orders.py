"""Make an order of a chat request."""

from __future__ import annotations

from flask import Request

from persona_stream import runid
from persona_stream.errors import NotFound
from persona_stream.query import Query
from persona_stream.runs import Order
from persona_stream.styles import Style
from persona_stream.web.bearer import caller
from persona_stream.web.claims import claim
from persona_stream.web.desk import Desk
from persona_stream.web.requests import locale_of, read_chat_request


def order(request: Request, desk: Desk, style: Style, grace: float | None) -> Order:
    """Read and check a chat request, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = caller(request, desk.verifier)
    chat = read_chat_request(request)
    persona = None
    if desk.personas is not None:
        persona = desk.personas.get(chat.username)
        if persona is None:
            raise NotFound("User profile not found")
    query = Query(
        username=chat.username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or f"c-{runid.new(desk.clock())}",
        locale=locale_of(request, chat.locale),
        persona=persona,
        principal=principal,
    )
    return Order(
        query=query,
        style=style.name,
        chunking=chat.chunking or style.chunking,
        reasoning=bool(chat.reasoning),
        grace=grace,
        claim=claim(request, chat),
    )
