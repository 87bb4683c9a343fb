"""Make an order of a chat request."""

from __future__ import annotations

from flask import Request

from persona_stream.core import run_id as runid
from persona_stream.core.projection import Style
from persona_stream.core.query import Query
from persona_stream.errors import NotFound, Unavailable
from persona_stream.runs.request import Order
from persona_stream.web.asking import asker
from persona_stream.web.claims import claim
from persona_stream.web.desk import Desk
from persona_stream.web.origins import origin_of
from persona_stream.web.requests import locale_of, read_chat_request


def order(request: Request, desk: Desk, style: Style, grace: float | None) -> Order:
    """Read and check a chat request, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = asker(request, desk)
    chat = read_chat_request(request)
    model = desk.models.find(chat.username)
    if model is None:
        raise NotFound("User profile not found")
    if chat.conversation_id is not None and desk.store.missing():
        raise Unavailable("Conversations cannot be looked up for now: try again in a moment", retry_after=2)
    query = Query(
        username=chat.username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or f"c-{runid.new(desk.clock())}",
        locale=locale_of(request, chat.locale),
        persona=model.persona,
        principal=principal,
    )
    return Order(
        query=query,
        backend=model.backend,
        style=style.name,
        chunking=chat.chunking or style.chunking,
        reasoning=bool(chat.reasoning),
        grace=grace,
        claim=claim(request, chat),
        origin=origin_of(request),
        continues=chat.conversation_id is not None,
    )
