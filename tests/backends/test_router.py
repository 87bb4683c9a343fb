"""Tests of the routing of names to backends and personas."""

from __future__ import annotations

from persona_stream.backends.base import Backend
from persona_stream.backends.factory import build_router
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


def shout(message: str) -> str:
    return message.upper()


def test_configured_backends_are_created_and_routed_by_model():
    """Under each of their model names."""
    table = BackendConfig("loud", {"backend": f"{__name__}:shout"}, ("loud", "louder"))
    made = build_router(Settings(backends=(table,)), None, lambda message: message)
    for name in ("loud", "louder"):
        found = made.find(name)
        assert found is not None
        assert (found.backend.name, found.backend.process_query(Query(username="x", message="Hi"))) == ("loud", "HI")
    assert made.find("x").backend.process_query(Query(username="x", message="Hi")) == "Hi"


def test_all_async_is_true_only_if_every_backend_is_async():
    """The thread limit does not apply then."""
    loop = Backend("loop", lambda query: "", is_async=True)
    assert ModelRouter(loop).all_async
    assert not ModelRouter(loop, None, {"gpt": OTHER}).all_async
