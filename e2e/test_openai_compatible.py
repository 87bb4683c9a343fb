"""Others that speak OpenAI's protocol: npm ``ai`` with ``@ai-sdk/openai-compatible``, and LangChain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from e2e.answering import TEXT
from e2e.published import Package, runs, use, use_all
from e2e.served import Served, serving, token
from tests.polling import wait_for

AI = ("whole", "stream")
LANGCHAIN = ("whole", "whole_async", "stream", "stream_async")
LANGUAGES = {"ai": "node", "langchain": "python"}
BOTH = pytest.mark.parametrize(("client", "ways"), [("ai", AI), ("langchain", LANGCHAIN)], ids=["ai", "langchain"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve what answers as e2e/answering.py says."""
    with serving(tmp_path_factory.mktemp("served"), backend="answering:ask", timeout=40) as served:
        yield served


@pytest.fixture
def served(shared: Served, request: pytest.FixtureRequest) -> Served:
    """Give the server as somebody sees it who never was there."""
    return replace(shared, token=token(request.node.name, shared.environment))


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(served: Served, client: Package, ways: tuple[str, ...]) -> None:
    """Every way gives the answer to the character, with its tokens, and nobody asks twice."""
    for told in use_all(client, served, LANGUAGES[client], ways, "20").values():
        assert (told["text"], told["finish"]) == (TEXT, "stop")
        assert told["tokens"] > 0
        assert told.get("reasoning", "Six times seven.") == "Six times seven."
    assert runs(served) == ["complete"] * len(ways)


@BOTH
def test_an_error_before_the_first_byte(served: Served, client: Package, ways: tuple[str, ...]) -> None:
    """With its status and its field, and nothing was run."""
    told = use(client, served, LANGUAGES[client], "unstreamed_choices")
    assert (told["status"], told["code"], told["param"]) == (400, "invalid_request", "n")
    assert runs(served) == []


@BOTH
def test_an_error_of_the_backend(served: Served, client: Package, ways: tuple[str, ...]) -> None:
    """In a stream after the first byte, otherwise with its status; in the backend's words, and it ran once."""
    once = ["once" if (client, way) == ("ai", "whole") else way for way in ways]
    for way, told in use_all(client, served, LANGUAGES[client], once, "fail").items():
        assert told["code"] == "backend_error", way
        assert told["status"] == (None if way.startswith("stream") else 502)
        assert told["message"].endswith("The library is closed today.")
    assert runs(served) == ["error"] * len(ways)


def test_what_the_ai_sdk_tries_again(served: Served) -> None:
    """Every 5xx of a whole answer, whatever the server says of it: so docs/CLIENTS.md sets ``maxRetries``."""
    told = use("ai", served, "node", "whole", "fail")
    assert (told["error"], told["status"], told["code"]) == ("AI_RetryError", 502, "backend_error")
    assert runs(served) == ["error"] * 3


@BOTH
def test_a_bad_key(served: Served, client: Package, ways: tuple[str, ...]) -> None:
    """An error that says so, in every way."""
    for told in use_all(client, served, LANGUAGES[client], ways, key="sk-wrong").values():
        assert (told["status"], told["code"]) == (401, "invalid_api_key")
    assert runs(served) == []


@BOTH
def test_hanging_up_cancels(served: Served, client: Package, ways: tuple[str, ...]) -> None:
    """The run ends when its client has been gone for the grace."""
    told = use(client, served, LANGUAGES[client], "leave", "35")
    assert told == {"ai": {"last": "abort"}, "langchain": {"text": ""}}[client]
    wait_for(lambda: runs(served) == ["cancelled"])
