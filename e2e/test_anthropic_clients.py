"""The published ``anthropic`` packages for Python and Node as clients of the server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from e2e import published_clients as published
from e2e.backend import TEXT
from e2e.published_clients import runs
from e2e.server import Served
from tests.polling import wait_for

PYTHON = ("whole", "whole_async", "stream", "stream_async", "helper", "helper_async")
NODE = ("whole", "stream", "helper")
BOTH = pytest.mark.parametrize(("language", "scenarios"), [("python", PYTHON), ("node", NODE)], ids=["python", "node"])
use = partial(published.use, "anthropic")
use_all = partial(published.use_all, "anthropic")


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """Return a server with the backend of e2e/backend.py."""
    return serve(backend="backend:ask", timeout=40)


@BOTH
def test_every_mode_returns_the_whole_answer(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """The text is exact, with reasoning and token counts."""
    for scenario, result in use_all(served, language, scenarios).items():
        assert (result["text"], result["finish"]) == (TEXT, "end_turn"), scenario
        assert result["reasoning"] == "Six times seven."
        assert result.get("joined", TEXT) == TEXT
        assert result.get("kinds", ["thinking", "text"]) == ["thinking", "text"]
        assert result["tokens"] > 0
        assert result["given"] > 0


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """No client gives up, and none repeats the request."""
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda scenario: use(served, language, scenario, "20"), scenarios))
    assert [each.get("text") for each in results] == [TEXT] * len(scenarios)
    assert runs(served) == ["complete"] * len(scenarios)


def test_a_stream_begins_at_once_and_is_never_silent_for_long(served: Served) -> None:
    """A client with a read timeout of three seconds gets the answer of a backend that is silent for eight."""
    result = use(served, "python", "impatient", "8")
    assert result["text"] == TEXT
    assert result["first"] < 3.0


@BOTH
def test_an_answer_can_be_sent_back(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """An answer with reasoning can be sent back for the next turn."""
    assert use(served, language, "another_turn")["text"] == TEXT


@BOTH
def test_an_error_before_the_first_byte(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """An unsupported feature raises the package's exception class, with the field."""
    fields = {"tools": "tools", "picture": "messages"}
    for scenario, result in use_all(served, language, list(fields)).items():
        assert (result["error"], result["status"], result["type"]) == ("BadRequestError", 400, "invalid_request_error")
        assert result["message"].startswith(fields[scenario])
        assert result["request_id"].startswith("req_")
    assert runs(served) == []


@BOTH
def test_an_error_of_the_backend(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """In a stream as an event, otherwise with its status; the backend is executed once."""
    for scenario, result in use_all(served, language, scenarios, "fail").items():
        assert (result["type"], result["message"]) == ("api_error", "The library is closed today."), scenario
        if scenario.startswith("whole"):
            assert (result["error"], result["status"]) == ("InternalServerError", 502)
    assert runs(served) == ["error"] * len(scenarios)


@BOTH
@pytest.mark.parametrize(
    ("message", "error", "status", "kind", "times"),
    [
        ("busy", "RateLimitError", 429, "rate_limit_error", 3),
        ("crowded", "BadRequestError", 400, "invalid_request_error", 1),
    ],
)
def test_a_failure_with_a_meaning(
    served: Served,
    language: str,
    scenarios: tuple[str, ...],
    message: str,
    error: str,
    status: int,
    kind: str,
    times: int,
) -> None:
    """It raises the package's class for it; a stream has begun with 200 and has the type. A rate limit is retried."""
    results = use_all(served, language, ("whole", "stream"), message)
    assert (results["whole"]["error"], results["whole"]["status"], results["whole"]["type"]) == (error, status, kind)
    assert results["stream"]["type"] == kind
    assert runs(served) == ["error"] * (times + 1)


@BOTH
def test_a_bad_key(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """An authentication error in every mode."""
    expected = ("AuthenticationError", 401, "authentication_error")
    for scenario, result in use_all(served, language, ("whole", "stream", "models", "count"), key="sk-wrong").items():
        assert (result["error"], result["status"], result["type"]) == expected, scenario


def test_the_token_may_be_a_bearer_token(served: Served) -> None:
    """The package has an exception class for it."""
    assert use(served, "python", "whole_with_bearer")["text"] == TEXT


@BOTH
def test_counting_and_models(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """Token counting starts no run; the one model is listed and can be retrieved."""
    result = use_all(served, language, ("count", "models"), "x" * 400)
    assert result["count"] == {"tokens": 103}
    assert result["models"] == {
        "names": ["backend:ask"], "one": "backend:ask", "display_name": "backend:ask",
    }  # fmt: skip
    assert runs(served) == []


@BOTH
def test_tool_runners(serve: Callable[..., Served], language: str, scenarios: tuple[str, ...]) -> None:
    """The package starts a thread, is told that there are none, calls the tool and sends its result."""
    served = serve(backend="backend:use_tool")
    for scenario, result in use_all(served, language, ("tool_runner", "tool_runner_stream")).items():
        assert (result.get("text"), result.get("finish")) == ("The tool says: Sun in Wien.", "end_turn"), (
            scenario,
            result,
        )
    assert runs(served) == ["complete"] * 4


@BOTH
def test_disconnecting_cancels(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """The run ends when its client has been gone for the grace period."""
    assert use(served, language, "leave", "35") == {"first": "message_start"}
    wait_for(lambda: runs(served) != ["processing"])
    assert runs(served) == ["cancelled"]
