"""Tests of the routing of names to backends and personas."""

from __future__ import annotations

from persona_stream.backends.base import Backend
from persona_stream.backends.factory import build_backends, route
from persona_stream.backends.router import ModelRouter, Route
from persona_stream.core.query import Query
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import BackendConfig, Settings

ADA = Persona(username="ada", name="Ada", tagline={"en": "Counts."}, prompt="You are Ada.")
DEFAULT, OTHER = Backend("default", lambda query: "default"), Backend("other", lambda query: "other")


def test_personas_take_precedence_over_models():
    """Other names are unknown."""
    known = ModelRouter(DEFAULT, {"ada": ADA}, {"ada": OTHER, "gpt": OTHER})
    assert known.find("ada") == Route(DEFAULT, ADA)
    assert known.find("gpt") == Route(OTHER)
    assert known.find("eve") is None
    assert (known.names, known.personas) == (["ada", "gpt"], [ADA])


def test_without_personas_any_name_is_routed():
    """The list of names starts with the default backend's."""
    known = ModelRouter(DEFAULT, None, {"gpt": OTHER})
    assert known.find("other") == Route(DEFAULT)
    assert known.find("gpt") == Route(OTHER)
    assert (known.names, known.personas) == (["default", "gpt"], [])


def test_only_a_router_without_personas_has_a_default():
    """It answers requests that name no persona."""
    assert ModelRouter(DEFAULT, None).default is DEFAULT
    assert ModelRouter(DEFAULT, {"ada": ADA}).default is None


def shout(message: str) -> str:
    return message.upper()


def test_configured_backends_are_created_and_routed_by_model():
    """Under each of their model names."""
    table = BackendConfig("loud", {"backend": f"{__name__}:shout"}, ("loud", "louder"))
    settings = Settings(backends=(table,))
    made = route(settings, None, build_backends(settings, None, lambda message: message))
    for name in ("loud", "louder"):
        found = made.find(name)
        assert found is not None
        assert (found.backend.name, found.backend.process_query(Query(username="x", message="Hi"))) == ("loud", "HI")
    assert made.find("x").backend.process_query(Query(username="x", message="Hi")) == "Hi"


def test_a_backend_is_replaced_under_each_of_its_names():
    """A worker reports its properties after the start."""
    known = ModelRouter(DEFAULT, None, {"gpt": DEFAULT, "other": OTHER})
    known.replace(DEFAULT, described := Backend("described", lambda query: ""))
    assert known.backends == [described, OTHER]
    assert known.find("gpt") == known.find("x") == Route(described)
