"""The openai backend with LiteLLM's proxy as its provider."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from e2e.conftest import KEY, TEXT
from persona_stream.backends.openai.backend import openai_backend
from persona_stream.core.query import Answer, Query, Turn, Usage
from persona_stream.errors import BackendError
from persona_stream.personas.persona import Persona
from tests.fakes import query_with


def ask(port: int, model: str, reports: list[str] | None = None, **settings: Any) -> Any:
    made = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY, "model": model, "sleep": lambda seconds: None}
    query = query_with(
        Query(
            username="ada",
            message="How many?",
            locale="en",
            persona=Persona(username="ada", name="Ada", tagline={}, prompt="You are Ada."),
            history=(Turn("user", "Hello"), Turn("assistant", "Good day")),
        ),
        on_progress=lambda message, fraction: reports.append(message) if reports is not None else None,
    )
    return openai_backend(**made | settings).process_query(query)


def test_the_answer_arrives_whole(litellm: int) -> None:
    """Text, token counts and the request body."""
    answer = ask(litellm, "quick")
    assert answer == Answer(TEXT, usage=Usage(input_tokens=10, output_tokens=20))
    assert answer.raw["object"] == "chat.completion"


def test_reasoning_arrives_beside_the_text(litellm: int) -> None:
    """Reasoning is separate from the text."""
    assert ask(litellm, "thinking") == Answer(TEXT, "Six times seven.", Usage(input_tokens=7, output_tokens=9))


@pytest.mark.parametrize(
    ("model", "settings", "words", "reports"),
    [
        ("quick", {"api_key": "sk-wrong-key"}, "The model provider rejected this server's API key", 1),
        ("quick", {"api_key": None}, "The model provider rejected this server's API key", 1),
        ("nobody", {}, "The model provider rejected the request", 1),
        ("crowded", {}, "The conversation is longer than the model's context length", 1),
        ("busy", {}, "The model provider's rate limit is reached, please try again later", 5),
        ("failing", {}, "The model provider failed, please try again later", 1),
        ("hanging", {"timeout": 0.5}, "The model provider timed out, please try again later", 1),
        (
            "quick",
            {"base_url": "http://127.0.0.1:9/v1"},
            "The model provider cannot be reached, please try again later",
            5,
        ),
    ],
)
def test_every_provider_error_is_translated(
    litellm: int,
    model: str,
    settings: dict[str, Any],
    words: str,
    reports: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Errors of a real proxy are translated; the log has its text without the key."""
    texts: list[str] = []
    with caplog.at_level(logging.INFO, "persona_stream"), pytest.raises(BackendError) as failed:
        ask(litellm, model, texts, **settings)
    assert str(failed.value) == words
    assert len(texts) == reports
    assert "attempt 1 for model" in caplog.text
    assert KEY not in caplog.text
    assert "sk-wrong-key" not in caplog.text
