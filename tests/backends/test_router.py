"""Who answers to which name."""

from __future__ import annotations

from persona_stream.backends.base import Backend
from persona_stream.backends.factory import build_router
from persona_stream.backends.router import ModelRouter, Route
from persona_stream.core.query import Query
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import BackendConfig, Settings

ADA = Persona(username="ada", name="Ada", tagline={"en": "Counts."}, prompt="You are Ada.")
DEFAULT, OTHER = Backend("default", lambda query: "default"), Backend("other", lambda query: "other")


def test_a_personas_name_comes_first():
    """Then routed models, and where there are personas nobody else."""
    known = ModelRouter(DEFAULT, {"ada": ADA}, {"ada": OTHER, "gpt": OTHER})
    assert known.find("ada") == Route(DEFAULT, ADA)
    assert known.find("gpt") == Route(OTHER)
    assert known.find("eve") is None
    assert (known.names, known.personas) == (["ada", "gpt"], [ADA])


def test_without_personas_any_name_goes_through():
    """And the list has at least the backend's own."""
    known = ModelRouter(DEFAULT, None, {"gpt": OTHER})
    assert known.find("whoever") == Route(DEFAULT)
    assert known.find("gpt") == Route(OTHER)
    assert (known.names, known.personas) == (["default", "gpt"], [])


def shout(message: str) -> str:
    return message.upper()


def test_backends_are_made_of_their_tables():
    """Each under the names that clients call it."""
    table = BackendConfig("loud", {"backend": f"{__name__}:shout"}, ("loud", "louder"))
    made = build_router(Settings(backends=(table,)), None, lambda message: message)
    for name in ("loud", "louder"):
        found = made.find(name)
        assert found is not None
        assert (found.backend.name, found.backend.process_query(Query(username="x", message="Hi"))) == ("loud", "HI")
    assert made.find("x").backend.process_query(Query(username="x", message="Hi")) == "Hi"


def test_all_of_them_may_be_async():
    """Then nothing is bounded by threads."""
    loop = Backend("loop", lambda query: "", is_async=True)
    assert ModelRouter(loop).all_async
    assert not ModelRouter(loop, None, {"gpt": OTHER}).all_async
