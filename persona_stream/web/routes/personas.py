"""``/api/profiles``: the personas that answer here."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, Response, request
from msgspec import Struct

from persona_stream.core.query import Locale
from persona_stream.personas.persona import Persona
from persona_stream.web.auth import authenticate
from persona_stream.web.parsing import negotiate_locale
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class Profile(Struct, frozen=True, kw_only=True):
    """A persona, as clients see it. ``line`` says in the caller's language who it is."""

    username: str
    name: str
    line: str
    languages: tuple[str, ...]


class ProfileList(Struct, frozen=True, kw_only=True):
    """Every persona; empty where any username goes through."""

    success: Literal[True] = True
    profiles: list[Profile]


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of ``/api/profiles``."""
    blueprint = Blueprint("profiles", __name__)

    @blueprint.get("/api/profiles")
    def profiles() -> Response:
        authenticate(request, desk.verifier)
        locale = negotiate_locale(request)
        listed = [_profile(persona, locale) for persona in desk.router.personas]
        return json_response(ProfileList(profiles=listed))

    return blueprint


def _profile(persona: Persona, locale: Locale) -> Profile:
    line = persona.tagline.get(locale) or next(iter(persona.tagline.values()), "")
    return Profile(username=persona.username, name=persona.name, line=line, languages=persona.languages)
