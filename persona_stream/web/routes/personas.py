"""``/api/profiles``: list the personas."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.core.query import Locale
from persona_stream.personas.persona import Persona
from persona_stream.protocols.native.responses import Success
from persona_stream.web.auth import authenticate
from persona_stream.web.openapi import components
from persona_stream.web.openapi.examples import USERNAME
from persona_stream.web.openapi.operations import Operation, ResponseSpec, Tag
from persona_stream.web.parsing import negotiate_locale
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class Profile(Struct, frozen=True, kw_only=True):
    """Persona as clients see it."""

    username: Annotated[str, Meta(description="Value to send as `username`.")]
    name: Annotated[str, Meta(description="Display name.")]
    line: Annotated[str, Meta(description="One-line description in the caller's language.")]
    languages: Annotated[tuple[str, ...], Meta(description="Preferred languages, best first.")]


class ProfileList(Success, frozen=True, kw_only=True):
    """List of all personas; empty if the server accepts any username."""

    profiles: Annotated[list[Profile], Meta(description="The personas.")]


PERSONAS = Tag("Personas", "Personas that can be asked.")
_PROFILE = Profile(
    username=USERNAME,
    name="Vitalik Buterin",
    line="Co-founder of Ethereum, who writes about blockchains, cryptography and society.",
    languages=("en", "zh"),
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/profiles``."""
    blueprint = Blueprint("profiles", __name__)

    @blueprint.get("/api/profiles")
    @Operation(
        "List personas",
        [PERSONAS],
        ResponseSpec.json("The personas.", ProfileList, ProfileList(profiles=[_PROFILE])),
        parameters=[components.ACCEPT_LANGUAGE],
        errors=components.COMMON_ERRORS,
    )
    def list_profiles() -> Response:
        authenticate(request, services.verifier)
        locale = negotiate_locale(request)
        profiles = [_profile(persona, locale) for persona in services.router.personas]
        return json_response(ProfileList(profiles=profiles))

    return blueprint


def _profile(persona: Persona, locale: Locale) -> Profile:
    line = persona.tagline.get(locale) or next(iter(persona.tagline.values()), "")
    return Profile(username=persona.username, name=persona.name, line=line, languages=persona.languages)
