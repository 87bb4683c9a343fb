"""Asking on a real socket, for streams and for whole answers, in both dialects."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from persona_stream.backends.anthropic.backend import anthropic_backend
from persona_stream.backends.base import Backend
from persona_stream.backends.openai.backend import openai_backend
from persona_stream.core.query import Answer, Query
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError
from tests.backends.fake_provider import (
    DONE,
    PING,
    STOPPED,
    Ear,
    Waits,
    begun,
    block,
    chunk,
    chunks,
    completion,
    cut,
    ended,
    hold,
    http,
    message,
    parts,
    provider,
    stream,
)
from tests.fakes import FakeClock, query_with

KEY = "sk-0123456789abcdef"
STOP = chunk(finish_reason="stop")
FORTY_TWO = stream(chunks("Forty"), chunks("-two.", STOP), DONE)


def made(make: Callable[..., Backend], base_url: str, **more: Any) -> Backend:
    settings: dict[str, Any] = {"api_key": KEY, "model": "m1", "jitter": lambda: 0.5, "sleep": Waits(), "stream": True}
    return make(base_url=base_url, **settings | more)


def openai(base_url: str, **more: Any) -> Backend:
    return made(openai_backend, base_url, **more)


def anthropic(base_url: str, **more: Any) -> Backend:
    return made(anthropic_backend, base_url, **more)


DIALECTS = {
    "openai": (openai, http(200, completion()), FORTY_TWO),
    "anthropic": (
        anthropic,
        http(200, message("Forty-two.")),
        stream(parts(begun(), block()), parts("Forty"), parts("-two.", ended()), parts(STOPPED)),
    ),
}
each_dialect = pytest.mark.parametrize(("make", "whole", "streamed"), DIALECTS.values(), ids=DIALECTS)
Make = Callable[..., Backend]


@each_dialect
def test_a_stream_is_passed_on_as_it_comes(make: Make, whole: bytes, streamed: bytes) -> None:
    """And the same connection is used again, as the end of the stream is waited for."""
    with provider(streamed) as served:
        asks = make(served.base_url)
        for _ in range(3):
            ear = Ear()
            answer = asks.process_query(ear.query())
            assert isinstance(answer, Answer)
            assert (answer.text, answer.reasoning, answer.finish) == ("", None, "stop")
            assert ear.joined == [("text", "Forty-two.")]
    assert served.connections == 1
    assert [request.body["stream"] for request in served.requests] == [True] * 3
    assert {request.headers["accept-encoding"] for request in served.requests} == {"identity"}


@each_dialect
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_whole_answer_is_read_though_a_stream_was_asked(make: Make, whole: bytes, streamed: bytes, kind: str) -> None:
    """Not every provider streams, and some say that they do."""
    ear = Ear()
    with provider(whole.replace(b"Reason\r\n", b"Reason\r\nContent-Type: %s\r\n" % kind.encode())) as served:
        answer = make(served.base_url).process_query(ear.query())
    assert isinstance(answer, Answer)
    assert (answer.text, ear.heard) == ("Forty-two.", [])


@each_dialect
def test_a_whole_answer_is_asked_for_unless_the_setting_says_otherwise(
    make: Make, whole: bytes, streamed: bytes
) -> None:
    """A stream that comes all the same cannot be understood."""
    with provider(whole, streamed) as served:
        asks = make(served.base_url, stream=False)
        answer = asks.process_query(Ear().query())
        assert isinstance(answer, Answer)
        assert answer.text == "Forty-two."
        with pytest.raises(BackendError, match="cannot be parsed"):
            asks.process_query(Ear().query())
    assert [request.body["stream"] for request in served.requests] == [False] * 2


def test_anthropics_provider_is_asked_in_its_way() -> None:
    """Its address, key and version are in other places."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url, stream=False, max_tokens=99).process_query(Ear().query())
    [request] = served.requests
    assert request.target == "/v1/messages"
    assert {name: request.headers.get(name) for name in ("x-api-key", "anthropic-version", "authorization")} == {
        "x-api-key": KEY,
        "anthropic-version": "2023-06-01",
        "authorization": None,
    }
    assert request.body == {
        "model": "m1",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "How many?"}],
        "stream": False,
    }


@pytest.mark.parametrize("base_url", ["", "/", "/v1", "/v1/", "/v1/messages", "/v1/messages/"])
def test_anthropics_address_may_be_written_as_people_write_it(base_url: str) -> None:
    """With or without the version, a slash and the endpoint."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url.removesuffix("/v1") + base_url, stream=False).process_query(Ear().query())
    assert served.requests[0].target == "/v1/messages"


def test_a_provider_on_ones_own_machine_needs_no_key() -> None:
    """Then no header says that there is one."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url, stream=False, api_key=None).process_query(Ear().query())
    assert "x-api-key" not in served.requests[0].headers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": None}, "set anthropic_base_url, e.g. to https://api.anthropic.com"),
        ({"base_url": "api.anthropic.com"}, "anthropic_base_url is not a valid URL"),
        ({"model": None}, "set anthropic_model"),
        ({"api_key": "sk pass"}, "anthropic_api_key has invalid characters"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(settings: dict[str, Any], words: str) -> None:
    """The sentence names the setting, and shows nothing of what may be secret."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        anthropic_backend(**{"base_url": "https://x", "api_key": "sk-1", "model": "m1"} | settings)
    assert "pass" not in str(refused.value)


def test_the_backend_says_what_it_is_and_can() -> None:
    """Of formats Anthropic's dialect knows schemas alone; the key is not shown."""
    asks = anthropic("http://127.0.0.1:1")
    assert (asks.name, asks.is_async) == ("anthropic", False)
    assert asks.capabilities == {"tools", "images", "prefill", "json_schema"}
    assert KEY not in repr(asks)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(cut(), id="after the head"),
        pytest.param(cut(b": hi\n\n"), id="after a comment"),
        pytest.param(cut(chunks(chunk("")), b"data: {"), id="in a line"),
        pytest.param(stream(chunks(chunk(""))), id="at its end"),
        pytest.param(http(503, b"busy"), id="busy"),
        pytest.param(stream(chunks({"error": {"code": 429}})), id="busy inside"),
    ],
)
def test_before_the_first_word_a_stream_is_tried_again(broken: Any) -> None:
    """As a whole answer would be; and the readers get one answer."""
    ear, waits = Ear(), Waits()
    with provider(broken, broken, FORTY_TWO) as served:
        openai(served.base_url, sleep=waits).process_query(ear.query())
    assert (ear.text, waits.seconds) == ("Forty-two.", [1.0, 2.0])
    with provider(broken) as served, pytest.raises(BackendUnavailable):
        openai(served.base_url).process_query(Ear().query())
    assert len(served.requests) == 3


def test_one_try_may_be_all() -> None:
    """Where somebody else can take over, nobody waits for this one."""
    waits = Waits()
    with provider(http(429, b""), FORTY_TWO) as served, pytest.raises(BackendUnavailable):
        openai(served.base_url, sleep=waits, max_attempts=1).process_query(Ear().query())
    assert (len(served.requests), waits.seconds) == (1, [])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (cut(chunks("Forty-")), "The model provider's response broke off"),
        (stream(chunks("Forty-")), "The model provider's response broke off"),
        (cut(chunks("Forty-"), b"data: {"), "The model provider's response broke off"),
        (stream(chunks("Forty-", {"error": {"code": 429}})), "The model provider is busy, please try again later"),
        (stream(chunks("Forty-"), b"data: {\n\n"), "The model provider's response cannot be parsed"),
    ],
)
def test_after_the_first_word_a_stream_that_breaks_is_an_error(broken: Any, words: str) -> None:
    """Never a whole answer, never another try, and nothing that anybody else could still do."""
    ear, waits = Ear(), Waits()
    with provider(broken, FORTY_TWO) as served, pytest.raises(BackendError, match=words) as failed:
        openai(served.base_url, sleep=waits).process_query(ear.query())
    assert (ear.text, waits.seconds, len(served.requests)) == ("Forty-", [], 1)
    assert type(failed.value) is BackendError


@pytest.mark.parametrize("again", [b"", b": keep-alive\n\n", chunks(""), chunks(chunk(delta={"role": "assistant"}))])
def test_a_stream_that_falls_silent_is_given_up_and_its_connection_closed(
    again: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What only keeps the connection alive, and parts without a word, are silence too."""
    ear = Ear()
    with provider(hold(chunks("Forty-"), again=again)) as served:
        with pytest.raises(BackendError, match="timed out") as failed:
            openai(served.base_url, idle_timeout=0.1).process_query(ear.query())
        assert served.ended.wait(5)
    assert (ear.text, type(failed.value), len(served.requests)) == ("Forty-", BackendError, 1)
    assert "silent for 0 s" in caplog.text


def test_anthropics_pings_are_silence() -> None:
    """As comments are."""
    with provider(hold(parts(block(), "Forty-"), again=parts(PING))) as served:
        with pytest.raises(BackendError, match="timed out"):
            anthropic(served.base_url, idle_timeout=0.1).process_query(Ear().query())
        assert served.ended.wait(5)


@pytest.mark.parametrize("before", [b"", b": keep-alive\n\n", chunks("")])
def test_before_the_first_word_only_the_deadline_counts(before: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A model may think for as long as the run may take."""
    with provider(hold(before, again=before)) as served:
        with pytest.raises(BackendError, match="timed out"):
            openai(served.base_url, idle_timeout=0.01, timeout=-0.8).process_query(Ear().query())
        assert served.ended.wait(5)
    assert len(served.requests) == 1
    assert "silent for" not in caplog.text


@pytest.mark.parametrize(
    ("ending", "again"),
    [
        (chunks(STOP, DONE), b""),
        (chunks(STOP, DONE), b": keep-alive\n\n"),
        (chunks(STOP, DONE), chunks("!")),
        (chunks(STOP), b""),
        (chunks(STOP), b": keep-alive\n\n"),
    ],
)
def test_a_stream_that_has_ended_is_not_waited_for(ending: bytes, again: bytes) -> None:
    """Who keeps the connection open after the answer, or goes on to speak, does not hold it back."""
    ear = Ear()
    with provider(hold(chunks("Forty-two."), ending, again=again)) as served:
        answer = openai(served.base_url, idle_timeout=0.3).process_query(ear.query())
        assert served.ended.wait(5)
    assert (ear.text, answer) == ("Forty-two.", Answer(""))


def test_a_stream_without_end_comes_to_the_limit() -> None:
    """What is kept of it is bounded as the body of a whole answer is."""
    with provider(hold(chunks("Forty-"), again=chunks("x" * 1000) * 50)) as served:
        with pytest.raises(BackendError, match="too large"):
            openai(served.base_url, max_body_bytes=100_000).process_query(Ear().query())
        assert served.ended.wait(5)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(http(200, b""), id="nothing"),
        pytest.param(http(200, b"<html>busy</html>", "Content-Type: text/html"), id="html"),
        pytest.param(http(200, b"upstream gone", "Content-Type: text/plain"), id="text"),
        pytest.param(http(200, b'{"choices"', "Content-Type: text/event-stream"), id="broken JSON"),
    ],
)
def test_what_is_neither_stream_nor_answer_cannot_be_understood(reply: bytes) -> None:
    """It is not tried again."""
    with provider(reply) as served, pytest.raises(BackendError, match="cannot be parsed"):
        openai(served.base_url).process_query(Ear().query())
    assert len(served.requests) == 1


@each_dialect
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BackendError),
        (401, BackendError),
        (404, BackendError),
        (307, BackendError),
        (429, BackendUnavailable),
        (500, BackendUnavailable),
        (502, BackendUnavailable),
        (503, BackendUnavailable),
        (504, BackendUnavailable),
        (529, BackendUnavailable),
    ],
)
@pytest.mark.parametrize("streams", [True, False])
def test_who_cannot_serve_at_the_moment_is_told_from_who_refuses(
    make: Make, whole: bytes, streamed: bytes, status: int, error: type[BackendError], streams: bool
) -> None:
    """So that somebody else can be asked; and nobody else is where the request itself is at fault."""
    with provider(http(status, b"")) as served, pytest.raises(BackendError) as failed:
        make(served.base_url, stream=streams).process_query(Ear().query())
    assert type(failed.value) is error


@each_dialect
def test_who_cannot_be_reached_is_unavailable(make: Make, whole: bytes, streamed: bytes) -> None:
    """Nobody listens there, or nobody has that name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}", "http://a..b"):
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            make(address).process_query(Ear().query())


def test_the_log_names_the_dialect_and_not_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Also of what came inside a stream."""
    said = stream(parts({"type": "error", "error": {"type": "authentication_error", "message": f"invalid {KEY}"}}))
    with provider(said) as served, caplog.at_level(logging.INFO), pytest.raises(BackendError, match="API key"):
        anthropic(served.base_url).process_query(Ear().query())
    [record] = [record for record in caplog.records if record.name == "persona_stream.backends.anthropic"]
    assert "invalid ***" in record.getMessage()
    assert KEY not in caplog.text


def test_a_reader_is_told_what_is_waited_for() -> None:
    """The provider, until it speaks."""
    told: list[str] = []
    query = query_with(
        Query(username="ada", message="How many?", locale="zh"), on_progress=lambda text, fraction: told.append(text)
    )
    with provider(cut(), FORTY_TWO) as served:
        openai(served.base_url).process_query(query)
    assert told == ["正在等待模型回复...", "暂时无法连接模型服务，1 秒后重试...", "正在等待模型回复..."]


@each_dialect
def test_a_provider_that_is_dead_is_asked_nothing_for_a_while(make: Make, whole: bytes, streamed: bytes) -> None:
    """After five failures the next query fails at once; after a pause one asks again, and an answer ends it."""
    clock = FakeClock(100.0)
    with provider(*[http(502, b"")] * 5, whole) as served:
        asks = make(served.base_url, clock=clock, max_attempts=1)
        for _ in range(5):
            assert asks.retry_after() == 0.0
            with pytest.raises(BackendUnavailable, match="failed"):
                asks.process_query(Ear().query())
        assert asks.retry_after() == 5.0
        with pytest.raises(BackendUnavailable, match=r"is unavailable, please try again in 5 s"):
            asks.process_query(Ear().query())
        assert len(served.requests) == 5
        clock.now += 5.0
        answer = asks.process_query(Ear().query())
        assert isinstance(answer, Answer)
        assert answer.text == "Forty-two."
        assert asks.retry_after() == 0.0


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_a_provider_that_refuses_is_not_dead(status: int) -> None:
    """However often: what it says may be different for others."""
    with provider(http(status, b"")) as served:
        asks = openai(served.base_url, clock=FakeClock(100.0), max_attempts=1)
        for _ in range(8):
            with pytest.raises(BackendError):
                asks.process_query(Ear().query())
        assert asks.retry_after() == 0.0
        assert len(served.requests) == 8


@pytest.mark.parametrize(("waited", "rest"), [(149.0, 0.0), (150.0, 5.0)])
def test_one_that_says_nothing_until_the_deadline_is_as_good_as_dead(waited: float, rest: float) -> None:
    """The run is killed then, wherever it waits. Who is killed before that has only lost his patience."""
    clock = FakeClock(100.0)

    class Kill(BaseException):
        pass

    class Silent(requests.Session):
        def post(self, *_: object, **__: object) -> requests.Response:
            clock.now += waited
            raise Kill

    asks = openai("http://127.0.0.1:9/v1", clock=clock, session=Silent())
    for _ in range(5):
        with pytest.raises(Kill):
            asks.process_query(Ear().query())
    assert asks.retry_after() == rest


def test_all_queries_together_are_seldom_tried_again() -> None:
    """A provider that is too busy is not asked three times as much by those who wait."""
    waits = Waits()
    with provider(http(429, b"")) as served:
        asks = openai(served.base_url, clock=FakeClock(100.0), sleep=waits)
        for _ in range(50):
            with pytest.raises(BackendUnavailable):
                asks.process_query(Ear().query())
    assert 50 + 10 <= len(served.requests) <= 50 + 10 + 10
