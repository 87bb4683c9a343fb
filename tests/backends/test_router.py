"""Who answers to which name."""

from __future__ import annotations

from persona_stream.backends.base import Backend
from persona_stream.backends.factory import models
from persona_stream.backends.router import Model, Models
from persona_stream.core.query import Query
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import Named, Settings

ADA = Persona(username="ada", name="Ada", line={"en": "Counts."}, prompt="You are Ada.")
DEFAULT, OTHER = Backend("default", lambda query: "default"), Backend("other", lambda query: "other")


def test_a_personas_name_comes_first():
    """Then routed models, and where there are personas nobody else."""
    known = Models(DEFAULT, {"ada": ADA}, {"ada": OTHER, "gpt": OTHER})
    assert known.find("ada") == Model(DEFAULT, ADA)
    assert known.find("gpt") == Model(OTHER)
    assert known.find("eve") is None
    assert (known.names, known.personas) == (["ada", "gpt"], [ADA])


def test_without_personas_any_name_goes_through():
    """And the list has at least the backend's own."""
    known = Models(DEFAULT, None, {"gpt": OTHER})
    assert known.find("whoever") == Model(DEFAULT)
    assert known.find("gpt") == Model(OTHER)
    assert (known.names, known.personas) == (["default", "gpt"], [])


def shout(message: str) -> str:
    return message.upper()


def test_backends_are_made_of_their_tables():
    """Each under the names that clients call it."""
    table = Named("loud", {"backend": f"{__name__}:shout"}, ("loud", "louder"))
    made = models(Settings(backends=(table,)), None, lambda message: message)
    for name in ("loud", "louder"):
        found = made.find(name)
        assert found is not None
        assert (found.backend.name, found.backend.process_query(Query(username="x", message="Hi"))) == ("loud", "HI")
    assert made.find("x").backend.process_query(Query(username="x", message="Hi")) == "Hi"


def test_all_of_them_may_be_async():
    """Then nothing is bounded by threads."""
    loop = Backend("loop", lambda query: "", is_async=True)
    assert Models(loop).are_async
    assert not Models(loop, None, {"gpt": OTHER}).are_async
