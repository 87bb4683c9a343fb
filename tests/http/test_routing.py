"""Several backends in one server, and fallbacks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.backends.fake_provider import Provider, completion, http, message, provider
from tests.server_process import ServerProcess, serve


class Providers(NamedTuple):
    """Server with the two providers behind it."""

    server: ServerProcess
    first: Provider
    second: Provider


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    with provider(b"") as first, provider(b"") as second:
        file = tmp_path_factory.mktemp("settings") / "settings.toml"
        file.write_text(
            f"""
            backend = "openai"
            openai_base_url = "{first.base_url}"
            openai_model = "quick-1"

            [backends.default]
            fallback = "careful"

            [backends.careful]
            backend = "anthropic"
            anthropic_base_url = "{second.base_url}"
            anthropic_model = "careful-1"
            models = ["careful", "careful-latest"]

            [backends.loud]
            backend = "tests.backends_for_tests:quick"
            """
        )
        served = serve("openai", config=file)
        yield Providers(served, first, second)
        assert served.stop() == 0


def ask(providers: Providers, model: str) -> tuple[int, str]:
    providers.first.requests.clear()
    providers.second.requests.clear()
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    response = providers.server.post("/v1/chat/completions", body)
    return response.status_code, response.text


def test_a_model_is_routed_to_its_backend(providers: Providers) -> None:
    """By either of its names, in every protocol; any other name has the default backend."""
    providers.first.replies = [http(200, completion("From the first."))]
    providers.second.replies = [http(200, message("From the second."))]
    for model, words in (
        ("careful", "From the second."), ("careful-latest", "From the second."), ("loud", "You said: Hi"),
        ("whatever", "From the first."),
    ):  # fmt: skip
        assert words in ask(providers, model)[1]
        native = providers.server.post("/api/chat", {"username": model, "message": "Hi"})
        assert native.json()["data"] == words
    names = [each["id"] for each in providers.server.get("/v1/models").json()["data"]]
    assert names == ["openai", "careful", "careful-latest", "loud"]


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_fallback_takes_over_from_an_unavailable_backend(providers: Providers, status: int) -> None:
    """The overloaded or failing backend is called once, and the log names the fallback."""
    providers.first.replies = [http(status, {"error": {"message": "overloaded"}}, "Retry-After: 5")]
    providers.second.replies = [http(200, message("From the second."))]
    begun = time.monotonic()
    code, text = ask(providers, "quick")
    assert (code, "From the second." in text) == (200, True)
    assert time.monotonic() - begun < 4
    assert (len(providers.first.requests), len(providers.second.requests)) == (1, 1)
    providers.server.wait_for_log("falling back to careful")


def test_a_rejected_request_is_not_sent_to_the_fallback(providers: Providers) -> None:
    """The fallback would reject it as well."""
    providers.first.replies = [http(400, {"error": {"message": "no", "code": "context_length_exceeded"}})]
    assert ask(providers, "quick")[0] == 400
    assert providers.second.requests == []


def test_a_failing_fallback_ends_the_run(providers: Providers) -> None:
    """It is called as often as without a primary, and no further backend follows."""
    providers.first.replies = [http(503, "busy")]
    providers.second.replies = [
        http(401, {"type": "error", "error": {"type": "authentication_error", "message": "no"}})
    ]
    code, text = ask(providers, "quick")
    assert (code, "API key" in text or "API 密钥" in text) == (502, True)
    assert (len(providers.first.requests), len(providers.second.requests)) == (1, 1)


def test_contradictory_settings_stop_the_start(tmp_path: Path) -> None:
    """With one sentence."""
    file = tmp_path / "settings.toml"
    file.write_text('[backends.a]\nfallback = "b"\n')
    with pytest.raises(RuntimeError, match="another backend"):
        serve("tests.backends_for_tests:quick", config=file)
