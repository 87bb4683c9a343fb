"""npm ``ai`` with ``@ai-sdk/anthropic``, which implements the Anthropic protocol itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from e2e import published_clients as published
from e2e.backend import TEXT
from e2e.published_clients import runs
from e2e.server import Served, serving
from tests.polling import wait_for

SCENARIOS = ("whole@anthropic", "stream@anthropic")

use = partial(published.use, "ai")
use_all = partial(published.use_all, "ai")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a server with the backend of e2e/backend.py."""
    with serving(tmp_path_factory.mktemp("served"), backend="backend:ask", timeout=40) as served:
        yield served


def test_a_backend_that_is_silent_for_twenty_seconds(served: Served) -> None:
    """Every mode returns the exact answer, with reasoning and tokens, in one request."""
    for result in use_all(served, "node", SCENARIOS, "20").values():
        assert (result["text"], result["finish"]) == (TEXT, "stop")
        assert result["reasoning"] == "Six times seven."
        assert result["tokens"] > 0
    assert runs(served) == ["complete"] * len(SCENARIOS)


def test_an_error_before_the_first_byte(served: Served) -> None:
    """With its status and its field, and without a run."""
    result = use(served, "node", "tools@anthropic")
    assert (result["status"], result["type"]) == (400, "invalid_request_error")
    assert result["message"].startswith("tools")
    assert runs(served) == []


def test_an_error_of_the_backend(served: Served) -> None:
    """In a stream as an event, otherwise with its status; with the backend's text, after one execution."""
    for scenario, result in use_all(served, "node", ("once@anthropic", "stream@anthropic"), "fail").items():
        assert (result["type"], result["message"]) == ("api_error", "The library is closed today."), scenario
        assert result["status"] == (None if scenario.startswith("stream") else 502)
    assert runs(served) == ["error"] * 2


@pytest.mark.parametrize(
    ("message", "status", "kind"), [("busy", 429, "rate_limit_error"), ("crowded", 400, "invalid_request_error")]
)
def test_a_failure_with_a_meaning(served: Served, message: str, status: int, kind: str) -> None:
    """It has its status and its type; a stream has begun with 200 and has the type. A rate limit is retried twice."""
    results = use_all(served, "node", ("once@anthropic", "whole@anthropic", "stream@anthropic"), message)
    once, retried, stream = results.values()
    assert (once["error"], once["status"], once["type"]) == ("AI_APICallError", status, kind)
    assert (retried["status"], retried["type"], stream["type"]) == (status, kind, kind)
    assert runs(served) == ["error"] * (5 if message == "busy" else 3)


def test_a_bad_key(served: Served) -> None:
    """An authentication error in every mode."""
    for result in use_all(served, "node", SCENARIOS, key="sk-wrong").values():
        assert (result["status"], result["type"]) == (401, "authentication_error")
    assert runs(served) == []


def test_disconnecting_cancels(served: Served) -> None:
    """The run ends when its client has been gone for the grace period."""
    assert use(served, "node", "leave@anthropic", "35") == {"last": "abort"}
    wait_for(lambda: runs(served) == ["cancelled"])
