"""``persona-stream serve --backend openai`` with LiteLLM's proxy, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from e2e.conftest import KEY, TEXT
from e2e.relay import relay
from e2e.server import Served

STREAMS = ("stream_chat", "stream_chat_advanced", "stream_chat_smart")
Serve = Callable[..., Served]


def base_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


def statuses(events: list[dict[str, Any]]) -> list[str]:
    """Return the statuses in order, without repetitions."""
    every = [event["status"] for event in events]
    return every[:1] + [after for before, after in pairwise(every) if after != before]


def test_a_slow_answer_arrives_whole_on_every_endpoint(litellm: int, serve: Serve) -> None:
    """Each stream shows progress while the provider works, and then the exact text."""
    served = serve(openai_base_url=base_url(litellm), openai_model="slow")
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(served.events, STREAMS))
        whole = served.ask("chat")
    for endpoint, events in zip(STREAMS, streams, strict=True):
        opening = "connecting" if endpoint == "stream_chat" else "initializing"
        assert statuses(events) == [opening, "processing", "processing_complete", "streaming", "complete"]
        assert "".join(event["data"] for event in events) == TEXT
        waiting = [event for event in events if event["status"] == "processing"]
        assert "Waiting for the model..." in [event["message"] for event in waiting]
        assert waiting[-1]["elapsed_time"] >= 18.0
        assert len(waiting) >= 6
        progress = [event["progress"] for event in waiting]
        assert progress == sorted(progress)
        assert [event.get("is_complete") for event in events].count(True) == 1
        assert events[-1]["usage"]["output_tokens"] == 20
    assert whole.status_code == 200
    assert whole.json()["data"] == TEXT
    assert whole.json()["total_time"] >= 20.0


def test_reasoning_is_sent_on_request(litellm: int, serve: Serve) -> None:
    """Reasoning precedes the answer if it was requested."""
    served = serve(openai_base_url=base_url(litellm), openai_model="thinking")
    events = served.events("stream_chat_smart", reasoning=True)
    assert "".join(event.get("reasoning", "") for event in events) == "Six times seven."
    assert "".join(event["data"] for event in events) == TEXT
    assert "reasoning" not in statuses(served.events("stream_chat_smart"))


@pytest.mark.parametrize(
    ("settings", "words", "code", "status", "messages"),
    [
        (
            {"openai_api_key": "sk-wrong-key"},
            "The model provider rejected this server's API key", "backend_error", 502, [],
        ),
        ({"openai_model": "nobody"}, "The model provider rejected the request", "backend_error", 502, []),
        (
            {"openai_model": "busy"},
            "The model provider's rate limit is reached, please try again later", "rate_limited", 429,
            ["busy", "retrying in"],
        ),
    ],
)  # fmt: skip
def test_a_provider_error_is_translated(
    litellm: int, serve: Serve, settings: dict[str, str], words: str, code: str, status: int, messages: list[str]
) -> None:
    """The stream ends with the code of the cause, without the provider's text, which is in the log without the key.

    Whether a reader sees that it is tried again depends on the moment: pauses are shorter than an interval.
    """
    served = serve(**{"openai_base_url": base_url(litellm), "openai_model": "quick"} | settings)
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(served.events, STREAMS))
    for events in streams:
        last = events[-1]
        assert (last["status"], last["code"], last["error"], last["is_complete"]) == (
            "error",
            code,
            words,
            True,
        )
        everything = str(events)
        for foreign in ("litellm", "LiteLLM", "Incorrect API key", "Invalid model", "mock", KEY, "sk-wrong-key"):
            assert foreign not in everything
    refused = served.ask("chat")
    assert (refused.status_code, refused.json()["code"], refused.json()["error"]) == (status, code, words)
    log = served.log.read_text()
    assert "attempt 1 for model" in log
    assert all(each in log for each in messages)
    assert KEY not in log
    assert "sk-wrong-key" not in log


def test_at_the_deadline_the_run_ends_and_the_provider_is_disconnected(litellm: int, serve: Serve) -> None:
    """The stream ends with timeout, and the connection to the provider is closed before its response."""
    with relay(litellm) as wire:
        served = serve(openai_base_url=base_url(wire.port), openai_model="hanging", timeout=3)
        last = served.events("stream_chat_smart")[-1]
        assert wire.given_up.wait(5)
    assert (last["status"], last["code"], last["is_complete"]) == ("timeout", "timeout", True)
    assert 3.0 <= last["elapsed_time"] < 6.0


def test_a_server_without_a_provider_does_not_start(serve: Serve) -> None:
    """The error names the missing settings."""
    with pytest.raises(RuntimeError, match="set openai_base_url"):
        serve()
    with pytest.raises(RuntimeError, match="set openai_model"):
        serve(openai_base_url="http://127.0.0.1:9/v1")
