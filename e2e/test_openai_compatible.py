"""Other OpenAI-compatible clients: npm ``ai`` with ``@ai-sdk/openai-compatible``, and LangChain."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from e2e.backend import TEXT
from e2e.published_clients import Package, runs, use, use_all
from e2e.server import Served, serving
from tests.polling import wait_for

AI = ("whole", "stream")
LANGCHAIN = ("whole", "whole_async", "stream", "stream_async")
LANGUAGES = {"ai": "node", "langchain": "python"}
BOTH = pytest.mark.parametrize(("client", "scenarios"), [("ai", AI), ("langchain", LANGCHAIN)], ids=["ai", "langchain"])

# The exceptions for a response that failed, and in a stream, where npm `ai` throws the object of the provider.
ERRORS = {
    "ai": {**dict.fromkeys(("fail", "busy", "crowded"), "AI_APICallError"), "stream": None},
    "langchain": {
        "fail": "OpenAIAPIError",
        "busy": "OpenAIRateLimitError",
        "crowded": "OpenAIInvalidRequestError",
        "stream": "APIError",
    },
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a server with the backend of e2e/backend.py."""
    with serving(tmp_path_factory.mktemp("served"), backend="backend:ask", timeout=40) as served:
        yield served


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(
    served: Served, client: Package, scenarios: tuple[str, ...]
) -> None:
    """Every mode returns the exact answer with its tokens in one request."""
    for result in use_all(client, served, LANGUAGES[client], scenarios, "20").values():
        assert (result["text"], result["finish"]) == (TEXT, "stop")
        assert result["tokens"] > 0
        assert result.get("reasoning", "Six times seven.") == "Six times seven."
    assert runs(served) == ["complete"] * len(scenarios)


@BOTH
def test_statuses_in_chunks_are_harmless(
    serve: Callable[..., Served], client: Package, scenarios: tuple[str, ...]
) -> None:
    """Every mode returns the exact answer, and ignores the members that it does not know."""
    served = serve(backend="backend:ask", heartbeat="status")
    for scenario, result in use_all(client, served, LANGUAGES[client], scenarios, "5").items():
        assert (result["text"], result["finish"]) == (TEXT, "stop"), scenario


@BOTH
def test_an_error_before_the_first_byte(served: Served, client: Package, scenarios: tuple[str, ...]) -> None:
    """With its status and its field, and without a run."""
    result = use(client, served, LANGUAGES[client], "unstreamed_choices")
    assert (result["status"], result["code"], result["param"]) == (400, "invalid_request", "n")
    assert runs(served) == []


@BOTH
def test_an_error_of_the_backend(served: Served, client: Package, scenarios: tuple[str, ...]) -> None:
    """In a stream as an event, otherwise with its status; with the backend's text, after one execution."""
    once = ["once" if (client, scenario) == ("ai", "whole") else scenario for scenario in scenarios]
    for scenario, result in use_all(client, served, LANGUAGES[client], once, "fail").items():
        assert result["code"] == "backend_error", scenario
        assert result.get("error") == ERRORS[client]["stream" if scenario.startswith("stream") else "fail"]
        assert result["status"] == (None if scenario.startswith("stream") else 502)
        assert result["message"].endswith("The library is closed today.")
    assert runs(served) == ["error"] * len(scenarios)


@BOTH
@pytest.mark.parametrize(
    ("message", "status", "code"), [("busy", 429, "rate_limit_exceeded"), ("crowded", 400, "context_length_exceeded")]
)
def test_a_failure_with_a_meaning(
    served: Served, client: Package, scenarios: tuple[str, ...], message: str, status: int, code: str
) -> None:
    """It raises the package's class for it, with status and code; a stream has begun with 200 and has the code."""
    once = ["once" if client == "ai" else "whole", "stream"]
    whole, stream = use_all(client, served, LANGUAGES[client], once, message).values()
    assert (whole["error"], whole["status"], whole["code"]) == (ERRORS[client][message], status, code)
    assert (stream.get("error"), stream["code"]) == (ERRORS[client]["stream"], code)


def test_the_ai_sdk_retries_every_5xx(served: Served) -> None:
    """It retries every 5xx even if the server advises against it, so docs/CLIENTS.md sets ``maxRetries``."""
    result = use("ai", served, "node", "whole", "fail")
    assert (result["error"], result["status"], result["code"]) == ("AI_RetryError", 502, "backend_error")
    assert runs(served) == ["error"] * 3


@BOTH
def test_a_bad_key(served: Served, client: Package, scenarios: tuple[str, ...]) -> None:
    """An authentication error in every mode."""
    for result in use_all(client, served, LANGUAGES[client], scenarios, key="sk-wrong").values():
        assert (result["status"], result["code"]) == (401, "invalid_api_key")
    assert runs(served) == []


@BOTH
def test_disconnecting_cancels(served: Served, client: Package, scenarios: tuple[str, ...]) -> None:
    """The run ends when its client has been gone for the grace period."""
    result = use(client, served, LANGUAGES[client], "leave", "35")
    assert result == {"ai": {"last": "abort"}, "langchain": {"text": ""}}[client]
    wait_for(lambda: runs(served) == ["cancelled"])
