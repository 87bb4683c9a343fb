"""Questions of a query to the user, without a run."""

from __future__ import annotations

import asyncio
import re

import pytest

from persona_stream.core.query import InputRequest, Query
from persona_stream.errors import InputUnavailable
from tests.fakes import query_with


class Given:
    """Answer that has been given."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def result(self) -> str | None:
        return self.value


def asking(requests: list[InputRequest], *, can_ask: bool = True) -> Query:
    """Return a query whose user answers "b", and which records the questions."""

    def on_ask(request: InputRequest) -> Given:
        requests.append(request)
        return Given("b")

    return query_with(Query(username="ada", message="Hi", _can_ask=can_ask), on_ask=on_ask)


def test_a_question_returns_the_answer():
    """With an id of its own each time."""
    requests: list[InputRequest] = []
    query = asking(requests)
    assert query.ask("Which file?", choices=["a", "b"], timeout=60) == "b"
    assert query.ask("Why \ud83d?") == "b"
    first, second = requests
    assert first == InputRequest(first.input_id, "Which file?", ("a", "b"), 60.0)
    assert second == InputRequest(second.input_id, "Why \ufffd?")
    assert first.input_id != second.input_id


def test_a_protocol_that_cannot_ask_raises_the_question():
    """It is recorded all the same: an answer without it may be another one."""
    requests: list[InputRequest] = []
    with pytest.raises(InputUnavailable, match=re.escape("Which file?")):
        asking(requests, can_ask=False).ask("Which file?")
    assert [request.is_refused for request in requests] == [True]
    with pytest.raises(InputUnavailable):  # without a run
        Query(username="ada", message="Hi").ask("Which file?")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"question": ""}, ValueError, "question must have 1 to 32,768 characters, not 0"),
        ({"question": "x" * 32_769}, ValueError, "not 32,769"),
        ({"question": None}, TypeError, "question must be a string, not NoneType"),
        ({"choices": "ab"}, TypeError, "choices must be a list of strings, not one string"),
        ({"choices": [1]}, TypeError, "each choice must be a string, not int"),
        ({"choices": []}, ValueError, "1 to 100 different strings"),
        ({"choices": ["a", "a"]}, ValueError, "1 to 100 different strings"),
        ({"timeout": 0}, ValueError, "finite and positive, not 0"),
        ({"timeout": float("inf")}, ValueError, "finite and positive, not inf"),
    ],
)
def test_arguments_are_checked(arguments, error, text):
    """Before anything is asked."""
    requests: list[InputRequest] = []
    with pytest.raises(error, match=re.escape(text)):
        asking(requests).ask(**{"question": "Which file?", **arguments})
    assert requests == []


def test_asking_would_block_an_event_loop():
    """The error names the method that does not."""

    async def ask() -> None:
        asking([]).ask("Which file?")

    with pytest.raises(RuntimeError, match="ask_async"):
        asyncio.run(ask())
