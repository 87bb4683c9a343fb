"""The published ``openai`` packages for Python and Node as clients of the server."""

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

PYTHON = ("whole", "whole_async", "stream", "stream_async", "helper")
NODE = ("whole", "stream", "helper")
BOTH = pytest.mark.parametrize(("language", "scenarios"), [("python", PYTHON), ("node", NODE)], ids=["python", "node"])
use = partial(published.use, "openai")
use_all = partial(published.use_all, "openai")


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """Return a server with the backend of e2e/backend.py."""
    return serve(backend="backend:ask", timeout=40)


@BOTH
def test_every_mode_returns_the_whole_answer(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """The text is exact, with reasoning and token counts."""
    for scenario, result in use_all(served, language, scenarios).items():
        assert (result["text"], result["finish"]) == (TEXT, "stop"), scenario
        assert result.get("reasoning", "Six times seven.") == "Six times seven."
        assert result.get("joined", TEXT) == TEXT
        assert result.get("tokens", 1) > 0 or scenario == "stream_async"


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """No client gives up, and none repeats the request."""
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda scenario: use(served, language, scenario, "20"), scenarios))
    assert [each.get("text") for each in results] == [TEXT] * len(scenarios)
    assert runs(served) == ["complete"] * len(scenarios)


@BOTH
def test_statuses_in_chunks_are_harmless(
    serve: Callable[..., Served], language: str, scenarios: tuple[str, ...]
) -> None:
    """Every mode returns the exact answer, and ignores the members that it does not know."""
    served = serve(backend="backend:ask", heartbeat="status")
    for scenario, result in use_all(served, language, scenarios, "5").items():
        assert (result["text"], result["finish"]) == (TEXT, "stop"), scenario


def test_a_stream_begins_at_once_and_is_never_silent_for_long(served: Served) -> None:
    """A client with a read timeout of three seconds gets the answer of a backend that is silent for twenty."""
    result = use(served, "python", "impatient", "20")
    assert result["text"] == TEXT
    assert result["first"] < 3.0


@BOTH
def test_an_error_before_the_first_byte(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """It raises the package's exception class, with the field."""
    result = use(served, language, "unstreamed_choices")
    assert (result["error"], result["status"], result["param"]) == ("BadRequestError", 400, "n")
    assert runs(served) == []


@BOTH
def test_an_error_of_the_backend(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """In a stream as an event, otherwise with its status; the backend is executed once."""
    for scenario, result in use_all(served, language, scenarios, "fail").items():
        assert (result["code"], result["type"]) == ("backend_error", "server_error"), scenario
        assert "The library is closed today." in result["message"]
        assert result["error"] == ("InternalServerError" if scenario.startswith("whole") else "APIError")
    assert runs(served) == ["error"] * len(scenarios)


@BOTH
@pytest.mark.parametrize(
    ("message", "error", "status", "code", "times"),
    [
        ("busy", "RateLimitError", 429, "rate_limit_exceeded", 3),
        ("crowded", "BadRequestError", 400, "context_length_exceeded", 1),
    ],
)
def test_a_failure_with_a_meaning(
    served: Served,
    language: str,
    scenarios: tuple[str, ...],
    message: str,
    error: str,
    status: int,
    code: str,
    times: int,
) -> None:
    """It raises the package's class for it; a stream has begun with 200 and has the code. A rate limit is retried."""
    results = use_all(served, language, ("whole", "stream"), message)
    assert (results["whole"]["error"], results["whole"]["status"], results["whole"]["code"]) == (error, status, code)
    assert (results["stream"]["error"], results["stream"]["code"]) == ("APIError", code)
    assert runs(served) == ["error"] * (times + 1)


@BOTH
def test_a_bad_key(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """An authentication error in every mode."""
    for scenario, result in use_all(served, language, ("whole", "stream", "models"), key="sk-wrong").items():
        assert (result["error"], result["status"], result["code"]) == ("AuthenticationError", 401, "invalid_api_key"), (
            scenario
        )


@BOTH
def test_models(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """The one model is listed and can be retrieved."""
    assert use(served, language, "models") == {"names": ["backend:ask"], "one": "backend:ask"}


@BOTH
def test_disconnecting_cancels(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """The run ends when its client has been gone for the grace period."""
    assert use(served, language, "leave", "35") == {"role": "assistant"}
    wait_for(lambda: runs(served) != ["processing"])
    assert runs(served) == ["cancelled"]
