"""The personas: as models at ``/v1/models``, in OpenAI's and Anthropic's form, and as profiles at ``/api/profiles``."""

from typing import Annotated, Any

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.core.content import AttachmentType
from persona_stream.core.query import Locale
from persona_stream.personas.persona import Persona
from persona_stream.protocols.anthropic import schemas as anthropic
from persona_stream.protocols.anthropic.encoder import ANTHROPIC
from persona_stream.protocols.native.schemas import Success
from persona_stream.protocols.openai import schemas as openai
from persona_stream.web import auth, negotiation, parsing, responses, run_requests
from persona_stream.web.openapi import Body, Operation, Parameter, ResponseSpec, Tag, components
from persona_stream.web.services import Services


class Profile(Struct, frozen=True, kw_only=True):
    """Persona as clients see it."""

    username: Annotated[str, Meta(description="Value to send as `username`.")]
    name: Annotated[str, Meta(description="Display name, in the script of the caller's language if it has one.")]
    line: Annotated[str, Meta(description="One-line description in the caller's language.")]
    languages: Annotated[tuple[str, ...], Meta(description="Preferred languages, best first.")]


class BackendInfo(Struct, frozen=True, kw_only=True):
    """Backend as pages show it."""

    name: Annotated[str, Meta(description="Name; without personas, the `username` of a request without one.")]
    title: Annotated[str, Meta(description="Display name.")]
    ideas: Annotated[tuple[str, ...], Meta(description="Example questions.")]
    attachments: Annotated[tuple[AttachmentType, ...], Meta(description="Types of attachments that it reads.")] = ()
    max_body_bytes: Annotated[int, Meta(description="Size limit of a request, with its attachments in base64.")] = 0


class ProfileList(Success, frozen=True, kw_only=True):
    """List of all personas. Without personas, requests need no username, and any is accepted."""

    profiles: Annotated[list[Profile], Meta(description="The personas.")]
    backend: Annotated[BackendInfo, Meta(description="The backend that answers for them, or by itself.")]


_VERSION = Parameter(
    "header",
    "anthropic-version",
    "Version of Anthropic's protocol; any value selects Anthropic's form of the response.",
)
_OPENAI_MODEL = openai.Model(id=components.USERNAME)
_ANTHROPIC_MODEL = anthropic.ModelInfo(id=components.USERNAME, display_name="Vitalik Buterin")
_OPENAI_MODELS = openai.ModelList(data=[_OPENAI_MODEL])
_ANTHROPIC_MODELS = anthropic.ModelInfoList(
    data=[_ANTHROPIC_MODEL], first_id=components.USERNAME, last_id=components.USERNAME
)
PERSONAS = Tag("Personas", "Personas that can be asked.")
_PROFILE = Profile(
    username=components.USERNAME,
    name="Vitalik Buterin",
    line="Co-founder of Ethereum, who writes about blockchains, cryptography and society.",
    languages=("en", "zh"),
)


def _operation(summary: str, *bodies: Struct, **details: Any) -> Operation:
    body = Body.json(*(type(body) for body in bodies), **{type(body).__name__: body for body in bodies})
    return Operation(
        summary,
        ResponseSpec("The response in either form.", [body]),
        "The response has OpenAI's form or, with an `anthropic-version` header, Anthropic's.",
        tags=[components.OPENAI_TAG, components.ANTHROPIC_TAG],
        error_bodies=(openai.error_body, anthropic.error_body),
        **details,
    )


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/v1/models`` and ``/api/profiles``."""
    blueprint = Blueprint("personas", __name__)

    @blueprint.get("/v1/models")
    @_operation(
        "List models", _OPENAI_MODELS, _ANTHROPIC_MODELS, parameters=[_VERSION], errors=components.COMMON_ERRORS
    )
    def list_models() -> Response:
        auth.authenticate(request, services.verifier)
        names = services.router.names
        if negotiation.protocol_of(request) is ANTHROPIC:
            models = [_model_info(name, run_requests.resolve_model(services, name).persona) for name in names]
            return responses.json_response(anthropic.ModelInfoList(data=models, first_id=names[0], last_id=names[-1]))
        return responses.json_response(openai.ModelList(data=[openai.Model(id=name) for name in names]))

    @blueprint.get("/v1/models/<path:model>")
    @_operation(
        "Get a model",
        _OPENAI_MODEL,
        _ANTHROPIC_MODEL,
        parameters=[_VERSION, Parameter.path("model", "Model name.", components.USERNAME)],
        errors=(*components.COMMON_ERRORS, components.MODEL_NOT_FOUND),
    )
    def retrieve_model(model: str) -> Response:
        auth.authenticate(request, services.verifier)
        found = run_requests.resolve_model(services, model)
        is_anthropic = negotiation.protocol_of(request) is ANTHROPIC
        return responses.json_response(_model_info(model, found.persona) if is_anthropic else openai.Model(id=model))

    @blueprint.get("/api/profiles")
    @Operation(
        "List personas",
        ResponseSpec.json(
            "The personas.", ProfileList(profiles=[_PROFILE], backend=BackendInfo(name="demo", title="Demo", ideas=()))
        ),
        tags=[PERSONAS],
        parameters=[components.ACCEPT_LANGUAGE],
        errors=components.COMMON_ERRORS,
    )
    def list_profiles() -> Response:
        auth.authenticate(request, services.verifier)
        locale = parsing.negotiate_locale(request, services.settings.locale)
        profiles = [_profile(persona, locale) for persona in services.router.personas]
        backend = services.router.backends[0]
        info = BackendInfo(
            name=backend.name,
            title=backend.title or backend.name,
            ideas=backend.ideas,
            attachments=backend.attachment_types,
            max_body_bytes=services.settings.max_body_bytes,
        )
        return responses.json_response(ProfileList(profiles=profiles, backend=info))

    return blueprint


def _model_info(name: str, persona: Persona | None) -> anthropic.ModelInfo:
    return anthropic.ModelInfo(id=name, display_name=persona.name if persona else name)


def _profile(persona: Persona, locale: Locale) -> Profile:
    line = persona.tagline.get(locale) or next(iter(persona.tagline.values()), "")
    return Profile(username=persona.username, name=persona.name_in(locale), line=line, languages=persona.languages)
