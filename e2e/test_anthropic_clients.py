"""The published ``anthropic`` packages, of Python and Node, as clients of ours, with nothing in between."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from e2e import published
from e2e.answering import TEXT
from e2e.published import runs
from e2e.served import Served
from tests.polling import wait_for

PYTHON = ("whole", "whole_async", "stream", "stream_async", "helper", "helper_async")
NODE = ("whole", "stream", "helper")
BOTH = pytest.mark.parametrize(("language", "ways"), [("python", PYTHON), ("node", NODE)], ids=["python", "node"])
use = partial(published.use, "anthropic")
use_all = partial(published.use_all, "anthropic")


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """A server that answers as e2e/answering.py says."""
    return serve(backend="answering:ask", timeout=40)


@BOTH
def test_every_way_gives_the_whole_answer(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """To the character, with the reasoning beside it and the tokens."""
    for way, told in use_all(served, language, ways).items():
        assert (told["text"], told["finish"]) == (TEXT, "end_turn"), way
        assert told["reasoning"] == "Six times seven."
        assert told.get("joined", TEXT) == TEXT
        assert told.get("kinds", ["thinking", "text"]) == ["thinking", "text"]
        assert told["tokens"] > 0
        assert told["given"] > 0


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """Nobody gives up, and nobody asks twice."""
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(lambda way: use(served, language, way, "20"), ways))
    assert [each.get("text") for each in told] == [TEXT] * len(ways)
    assert runs(served) == ["complete"] * len(ways)


def test_a_stream_begins_at_once_and_is_never_silent_for_long(served: Served) -> None:
    """A client that bears no more than three silent seconds gets the answer of a backend that is silent for eight."""
    told = use(served, "python", "impatient", "8")
    assert told["text"] == TEXT
    assert told["first"] < 3.0


@BOTH
def test_what_came_is_sent_back(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """With its thoughts, as the packages give it, for another turn."""
    assert use(served, language, "another_turn")["text"] == TEXT


@BOTH
def test_an_error_before_the_first_byte(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """What the backend cannot do is refused with the class that the package has for it, and named."""
    fields = {"tools": "tools", "picture": "messages"}
    for deed, told in use_all(served, language, list(fields)).items():
        assert (told["error"], told["status"], told["type"]) == ("BadRequestError", 400, "invalid_request_error")
        assert told["message"].startswith(fields[deed])
        assert told["request_id"].startswith("req_")
    assert runs(served) == []


@BOTH
def test_an_error_of_the_backend(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """In a stream after the first byte; otherwise with its status, and the backend is not run three times for it."""
    for way, told in use_all(served, language, ways, "fail").items():
        assert (told["type"], told["message"]) == ("api_error", "The library is closed today."), way
        if way.startswith("whole"):
            assert (told["error"], told["status"]) == ("InternalServerError", 502)
    assert runs(served) == ["error"] * len(ways)


@BOTH
def test_a_bad_key(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """An authentication error, in every way."""
    expected = ("AuthenticationError", 401, "authentication_error")
    for way, told in use_all(served, language, ("whole", "stream", "models", "count"), key="sk-wrong").items():
        assert (told["error"], told["status"], told["type"]) == expected, way


def test_the_token_may_be_a_bearer_token(served: Served) -> None:
    """The package has a name of its own for that."""
    assert use(served, "python", "whole_with_bearer")["text"] == TEXT


@BOTH
def test_counting_and_models(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """Tokens are counted without a run; there is one model, and it can be asked for."""
    told = use_all(served, language, ("count", "models"), "x" * 400)
    assert told["count"] == {"tokens": 103}
    assert told["models"] == {
        "names": ["answering:ask"], "one": "answering:ask", "display_name": "answering:ask",
    }  # fmt: skip
    assert runs(served) == []


@BOTH
def test_hanging_up_cancels(served: Served, language: str, ways: tuple[str, ...]) -> None:
    """The run ends when its client has been gone for the grace."""
    assert use(served, language, "leave", "35") == {"first": "message_start"}
    wait_for(lambda: runs(served) != ["processing"])
    assert runs(served) == ["cancelled"]
