"""Tests of the router's fallback from one backend to another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from persona_stream.backends.base import Backend
from persona_stream.backends.router import with_fallback
from persona_stream.core.query import Query
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError

QUERY = Query(username="x", message="Hi")


def raising(error: Exception) -> Callable[[Query], object]:
    def process_query(query: Query) -> object:
        raise error

    return process_query


def answering(query: Query) -> object:
    return f"{query.message}!"


def test_the_fallback_answers_when_the_primary_is_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    """The fallback is logged."""
    either = with_fallback(Backend("one", raising(BackendUnavailable("It is busy."))), Backend("two", answering))
    assert either.process_query(QUERY) == "Hi!"
    assert "one is unavailable (It is busy.): falling back to two" in caplog.text


def test_the_primary_answers_when_it_is_available(caplog: pytest.LogCaptureFixture) -> None:
    """The fallback is not called."""
    either = with_fallback(Backend("one", answering), Backend("two", raising(AssertionError("asked"))))
    assert either.process_query(QUERY) == "Hi!"
    assert caplog.text == ""


@pytest.mark.parametrize("error", [BackendError("No."), ValueError("a defect"), TimeoutError()])
def test_other_errors_do_not_trigger_the_fallback(error: Exception) -> None:
    """They are raised unchanged."""
    either = with_fallback(Backend("one", raising(error)), Backend("two", answering))
    with pytest.raises(type(error)) as raised:
        either.process_query(QUERY)
    assert raised.value is error


def test_an_error_of_the_fallback_is_final() -> None:
    """Without the error of the primary as its context."""
    either = with_fallback(
        Backend("one", raising(BackendUnavailable("one"))), Backend("two", raising(BackendUnavailable("two")))
    )
    with pytest.raises(BackendUnavailable, match=r"^two$") as raised:
        either.process_query(QUERY)
    assert raised.value.__context__ is None


def test_the_capabilities_are_those_of_both() -> None:
    """A query must suit either backend."""
    either = with_fallback(
        Backend("one", answering, capabilities=frozenset({"tools", "images"})),
        Backend("two", answering, capabilities=frozenset({"tools", "prefill"})),
    )
    assert (either.name, either.capabilities) == ("one", {"tools"})


def test_async_backends_fall_back_to_async_backends_only() -> None:
    """Both run on an event loop."""

    async def first(query: Query) -> object:
        raise BackendUnavailable("busy")

    async def second(query: Query) -> object:
        return "Hi!"

    one, two = Backend("one", first, is_async=True), Backend("two", second, is_async=True)
    assert asyncio.run(with_fallback(one, two).process_query(QUERY)) == "Hi!"  # type: ignore[arg-type]  # a coroutine
    with pytest.raises(ConfigurationError, match="only one of them is async"):
        with_fallback(one, Backend("three", answering))


@pytest.mark.parametrize(
    ("rests", "rest"), [((0.0, 0.0), 0.0), ((5.0, 0.0), 0.0), ((0.0, 5.0), 0.0), ((5.0, 3.0), 3.0)]
)
def test_the_pair_is_unavailable_only_while_both_are(rests: tuple[float, float], rest: float) -> None:
    """Until the first of them is available again."""
    one, two = (Backend("it", answering, retry_after=lambda seconds=seconds: seconds) for seconds in rests)  # type: ignore[misc] # a value of its own for each
    assert with_fallback(one, two).retry_after() == rest
