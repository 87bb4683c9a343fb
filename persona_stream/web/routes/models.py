"""``/v1/models``: the models in OpenAI's and Anthropic's form."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.personas.persona import Persona
from persona_stream.protocols.anthropic import schemas as anthropic
from persona_stream.protocols.anthropic.protocol import ANTHROPIC
from persona_stream.protocols.anthropic.schemas import ModelInfo, ModelInfoList
from persona_stream.protocols.openai import schemas as openai
from persona_stream.protocols.openai.schemas import Model, ModelList
from persona_stream.web.auth import authenticate
from persona_stream.web.negotiation import protocol_of
from persona_stream.web.openapi import components
from persona_stream.web.openapi.examples import USERNAME
from persona_stream.web.openapi.operations import Body, ErrorSpec, Operation, Parameter, ResponseSpec, describe
from persona_stream.web.responses import json_response
from persona_stream.web.routes.anthropic import ANTHROPIC_TAG
from persona_stream.web.routes.openai import OPENAI_TAG
from persona_stream.web.run_requests import resolve_model
from persona_stream.web.services import Services

_ANTHROPIC_VERSION = Parameter(
    name="anthropic-version",
    location="header",
    description="Version of Anthropic's protocol; any value selects Anthropic's form of the response.",
)
_MODEL = Parameter(
    name="model",
    location="path",
    description="Model name.",
    type=Annotated[str, Meta(min_length=1)],
    required=True,
    example=USERNAME,
)


def _operation(
    name: str, summary: str, bodies: tuple[Struct, Struct], parameters: tuple[Parameter, ...], *errors: ErrorSpec
) -> Operation:
    return Operation(
        id=name,
        summary=summary,
        description="The response has OpenAI's form or, with an `anthropic-version` header, Anthropic's.",
        tags=(OPENAI_TAG, ANTHROPIC_TAG),
        parameters=(_ANTHROPIC_VERSION, *parameters),
        responses={
            200: ResponseSpec(
                description="The response in either form.",
                bodies=(
                    Body(
                        schema=[type(body) for body in bodies], examples={type(body).__name__: body for body in bodies}
                    ),
                ),
            )
        },
        errors=(*components.COMMON_ERRORS, *errors),
        error_bodies=(openai.error_body, anthropic.error_body),
    )


_OPENAI_MODEL = Model(id=USERNAME)
_ANTHROPIC_MODEL = ModelInfo(id=USERNAME, display_name="Vitalik Buterin")
_LIST = _operation(
    "listModels",
    "List models",
    (
        ModelList(data=[_OPENAI_MODEL]),
        ModelInfoList(data=[_ANTHROPIC_MODEL], first_id=USERNAME, last_id=USERNAME),
    ),
    (),
)
_GET = _operation(
    "retrieveModel", "Get a model", (_OPENAI_MODEL, _ANTHROPIC_MODEL), (_MODEL,), components.MODEL_NOT_FOUND
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/v1/models``."""
    blueprint = Blueprint("v1", __name__)

    @blueprint.get("/v1/models")
    @describe(_LIST)
    def list_models() -> Response:
        authenticate(request, services.verifier)
        names = services.router.names
        if protocol_of(request) is ANTHROPIC:
            models = [_model_info(name, resolve_model(services, name).persona) for name in names]
            return json_response(ModelInfoList(data=models, first_id=names[0], last_id=names[-1]))
        return json_response(ModelList(data=[Model(id=name) for name in names]))

    @blueprint.get("/v1/models/<path:model>")
    @describe(_GET)
    def get_model(model: str) -> Response:
        authenticate(request, services.verifier)
        found = resolve_model(services, model)
        return json_response(
            _model_info(model, found.persona) if protocol_of(request) is ANTHROPIC else Model(id=model)
        )

    return blueprint


def _model_info(name: str, persona: Persona | None) -> ModelInfo:
    return ModelInfo(id=name, display_name=persona.name if persona else name)
