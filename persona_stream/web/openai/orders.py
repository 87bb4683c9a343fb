"""Make an order of a request for a completion."""

from __future__ import annotations

from flask import Request

from persona_stream import runid
from persona_stream.errors import ModelNotFound
from persona_stream.persona import Persona
from persona_stream.query import Query
from persona_stream.runs import Order
from persona_stream.styles import SMART
from persona_stream.web.bearer import caller
from persona_stream.web.claims import claim
from persona_stream.web.desk import Desk
from persona_stream.web.openai.messages import conversation
from persona_stream.web.openai.requests import ChatCompletionRequest, read_completion_request
from persona_stream.web.requests import locale_of


def order(request: Request, desk: Desk) -> tuple[Order, ChatCompletionRequest]:
    """Read and check a request for a completion, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = caller(request, desk.verifier)
    asked = read_completion_request(request)
    history, message = conversation(asked.messages)
    query = Query(
        username=asked.model,
        message=message,
        conversation_id=f"c-{runid.new(desk.clock())}",
        locale=locale_of(request),
        persona=persona_of(desk, asked.model),
        history=history,
        parameters=asked.parameters,
        principal=principal,
    )
    made = Order(
        query=query,
        style=SMART.name,
        chunking=SMART.chunking,
        reasoning=True,
        grace=desk.settings.disconnect_grace_v1,
        claim=claim(request, asked),
    )
    return made, asked


def persona_of(desk: Desk, model: str) -> Persona | None:
    """Give the persona that a model is; none, where any name goes through.

    Raises:
        ModelNotFound: there is no such persona.
    """
    if desk.personas is None:
        return None
    persona = desk.personas.get(model)
    if persona is None:
        raise ModelNotFound
    return persona
