"""``/v1``: what the protocols of OpenAI and Anthropic share there, and the models, which both find at one address."""

from __future__ import annotations

import secrets

from flask import Blueprint, Response, request

from persona_stream.personas.persona import Persona
from persona_stream.protocols.anthropic.schemas import ModelInfo, ModelInfoList
from persona_stream.protocols.openai.schemas import Model, ModelList
from persona_stream.web.auth import authenticate
from persona_stream.web.negotiation import is_anthropic
from persona_stream.web.responses import json_response
from persona_stream.web.run_requests import resolve_model
from persona_stream.web.services import Services


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of the models, which also names every request under ``/v1``."""
    blueprint = Blueprint("v1", __name__)

    @blueprint.get("/v1/models")
    def models() -> Response:
        authenticate(request, desk.verifier)
        names = desk.router.names
        if is_anthropic(request):
            found = [_info(name, resolve_model(desk, name).persona) for name in names]
            return json_response(ModelInfoList(data=found, first_id=names[0], last_id=names[-1]))
        return json_response(ModelList(data=[Model(id=name) for name in names]))

    @blueprint.get("/v1/models/<path:model>")
    def model(model: str) -> Response:
        authenticate(request, desk.verifier)
        found = resolve_model(desk, model)
        return json_response(_info(model, found.persona) if is_anthropic(request) else Model(id=model))

    @blueprint.after_app_request
    def name_request(response: Response) -> Response:
        if request.path.startswith("/v1/"):
            name = "request-id" if is_anthropic(request) else "x-request-id"
            response.headers[name] = f"req_{secrets.token_hex(12)}"
        return response

    return blueprint


def _info(name: str, persona: Persona | None) -> ModelInfo:
    return ModelInfo(id=name, display_name=persona.name if persona else name)
