"""A backend that takes over from another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from persona_stream.backends.base import Backend
from persona_stream.backends.fallback import with_fallback
from persona_stream.core.query import Query
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError

QUERY = Query(username="x", message="Hi")


def raising(error: Exception) -> Callable[[Query], object]:
    def process_query(query: Query) -> object:
        raise error

    return process_query


def answering(query: Query) -> object:
    return f"{query.message}!"


def test_the_second_answers_where_the_first_cannot(caplog: pytest.LogCaptureFixture) -> None:
    """And the log says so."""
    either = with_fallback(Backend("one", raising(BackendUnavailable("It is busy."))), Backend("two", answering))
    assert either.process_query(QUERY) == "Hi!"
    assert "one is unavailable (It is busy.): falling back to two" in caplog.text


def test_the_first_answers_where_it_can(caplog: pytest.LogCaptureFixture) -> None:
    """The second is never asked."""
    either = with_fallback(Backend("one", answering), Backend("two", raising(AssertionError("asked"))))
    assert either.process_query(QUERY) == "Hi!"
    assert caplog.text == ""


@pytest.mark.parametrize("error", [BackendError("No."), ValueError("a defect"), TimeoutError()])
def test_other_failures_stay_failures(error: Exception) -> None:
    """What was refused, or went wrong in the middle, is not asked again of somebody else."""
    either = with_fallback(Backend("one", raising(error)), Backend("two", answering))
    with pytest.raises(type(error)) as raised:
        either.process_query(QUERY)
    assert raised.value is error


def test_the_second_has_one_try() -> None:
    """Its failure is the query's."""
    either = with_fallback(
        Backend("one", raising(BackendUnavailable("one"))), Backend("two", raising(BackendUnavailable("two")))
    )
    with pytest.raises(BackendUnavailable, match=r"^two$") as raised:
        either.process_query(QUERY)
    assert raised.value.__context__ is None


def test_it_can_do_what_both_can() -> None:
    """Else a query that the first could take would fail with the second."""
    either = with_fallback(
        Backend("one", answering, capabilities=frozenset({"tools", "images"})),
        Backend("two", answering, capabilities=frozenset({"tools", "prefill"})),
    )
    assert (either.name, either.capabilities) == ("one", {"tools"})


def test_async_ones_take_over_from_each_other() -> None:
    """And from no other kind: they run on an event loop."""

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
def test_both_answer_nobody_only_where_neither_does(rests: tuple[float, float], rest: float) -> None:
    """Until the first of them may be asked again."""
    one, two = (Backend("it", answering, retry_after=lambda seconds=seconds: seconds) for seconds in rests)  # type: ignore[misc] # a value of its own for each
    assert with_fallback(one, two).retry_after() == rest
