"""Several backends behind one server, and one that takes over from another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.backends.fake_provider import Provider, completion, http, message, provider
from tests.server_process import ServerProcess, serve


class Houses(NamedTuple):
    """A server, and the two providers behind it."""

    server: ServerProcess
    first: Provider
    second: Provider


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
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
        yield Houses(served, first, second)
        assert served.stop() == 0


def ask(houses: Houses, model: str) -> tuple[int, str]:
    houses.first.requests.clear()
    houses.second.requests.clear()
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    response = houses.server.post("/v1/chat/completions", body)
    return response.status_code, response.text


def test_a_model_has_the_backend_that_names_it(houses: Houses) -> None:
    """By either of its names, and in every protocol; any other name is the default's."""
    houses.first.replies = [http(200, completion("From the first."))]
    houses.second.replies = [http(200, message("From the second."))]
    for model, words in (
        ("careful", "From the second."), ("careful-latest", "From the second."), ("loud", "You said: Hi"),
        ("whatever", "From the first."),
    ):  # fmt: skip
        assert words in ask(houses, model)[1]
        native = houses.server.post("/api/chat", {"username": model, "message": "Hi"})
        assert native.json()["data"] == words
    names = [each["id"] for each in houses.server.get("/v1/models").json()["data"]]
    assert names == ["openai", "careful", "careful-latest", "loud"]


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_fallback_takes_over_at_once(houses: Houses, status: int) -> None:
    """From one that is too busy or broken: it is asked once, and the log says who took over."""
    houses.first.replies = [http(status, {"error": {"message": "overloaded"}}, "Retry-After: 5")]
    houses.second.replies = [http(200, message("From the second."))]
    begun = time.monotonic()
    code, text = ask(houses, "quick")
    assert (code, "From the second." in text) == (200, True)
    assert time.monotonic() - begun < 4
    assert (len(houses.first.requests), len(houses.second.requests)) == (1, 1)
    houses.server.wait_for_log("falling back to careful")


def test_what_was_refused_is_not_asked_again(houses: Houses) -> None:
    """The second would have it no other way."""
    houses.first.replies = [http(400, {"error": {"message": "no", "code": "context_length_exceeded"}})]
    assert ask(houses, "quick")[0] == 502
    assert houses.second.requests == []


def test_a_fallback_that_fails_is_the_end(houses: Houses) -> None:
    """It is asked as often as without anybody in front of it, and nobody comes after it."""
    houses.first.replies = [http(503, "busy")]
    houses.second.replies = [http(401, {"type": "error", "error": {"type": "authentication_error", "message": "no"}})]
    code, text = ask(houses, "quick")
    assert (code, "API key" in text or "API 密钥" in text) == (502, True)
    assert (len(houses.first.requests), len(houses.second.requests)) == (1, 1)


def test_settings_that_do_not_fit_stop_the_start(tmp_path: Path) -> None:
    """In one sentence."""
    file = tmp_path / "settings.toml"
    file.write_text('[backends.a]\nfallback = "b"\n')
    with pytest.raises(RuntimeError, match="another backend"):
        serve("tests.backends_for_tests:quick", config=file)
