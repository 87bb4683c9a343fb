"""Tests of the provider client on real sockets, with streams and whole answers, in both API formats."""

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
    FakeSleep,
    Recorder,
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
    settings: dict[str, Any] = {
        "api_key": KEY,
        "model": "m1",
        "jitter": lambda: 0.5,
        "sleep": FakeSleep(),
        "stream": True,
    }
    return make(base_url=base_url, **settings | more)


def openai(base_url: str, **more: Any) -> Backend:
    return made(openai_backend, base_url, **more)


def anthropic(base_url: str, **more: Any) -> Backend:
    return made(anthropic_backend, base_url, **more)


FORMATS = {
    "openai": (openai, http(200, completion()), FORTY_TWO),
    "anthropic": (
        anthropic,
        http(200, message("Forty-two.")),
        stream(parts(begun(), block()), parts("Forty"), parts("-two.", ended()), parts(STOPPED)),
    ),
}
each_format = pytest.mark.parametrize(("make", "whole", "streamed"), FORMATS.values(), ids=FORMATS)
Make = Callable[..., Backend]


@each_format
def test_a_stream_is_forwarded_as_it_arrives(make: Make, whole: bytes, streamed: bytes) -> None:
    """The connection is reused, because the end of the body is read."""
    with provider(streamed) as served:
        backend = make(served.base_url)
        for _ in range(3):
            recorder = Recorder()
            answer = backend.process_query(recorder.query())
            assert isinstance(answer, Answer)
            assert (answer.text, answer.reasoning, answer.finish) == ("", None, "stop")
            assert recorder.joined == [("text", "Forty-two.")]
    assert served.connections == 1
    assert [request.body["stream"] for request in served.requests] == [True] * 3
    assert {request.headers["accept-encoding"] for request in served.requests} == {"identity"}


@each_format
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_whole_answer_to_a_stream_request_is_accepted(make: Make, whole: bytes, streamed: bytes, kind: str) -> None:
    """Some providers do not stream."""
    recorder = Recorder()
    with provider(whole.replace(b"Reason\r\n", b"Reason\r\nContent-Type: %s\r\n" % kind.encode())) as served:
        answer = make(served.base_url).process_query(recorder.query())
    assert isinstance(answer, Answer)
    assert (answer.text, recorder.sent) == ("Forty-two.", [])


@each_format
def test_streams_are_requested_only_if_configured(make: Make, whole: bytes, streamed: bytes) -> None:
    """A stream that comes anyway cannot be parsed."""
    with provider(whole, streamed) as served:
        backend = make(served.base_url, stream=False)
        answer = backend.process_query(Recorder().query())
        assert isinstance(answer, Answer)
        assert answer.text == "Forty-two."
        with pytest.raises(BackendError, match="cannot be parsed"):
            backend.process_query(Recorder().query())
    assert [request.body["stream"] for request in served.requests] == [False] * 2


def test_requests_to_anthropic_have_its_url_and_headers() -> None:
    """The path, the API key and the version differ from OpenAI's."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url, stream=False, max_tokens=99).process_query(Recorder().query())
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
def test_the_base_url_of_anthropic_is_normalized(base_url: str) -> None:
    """With or without the version, a slash and the endpoint."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url.removesuffix("/v1") + base_url, stream=False).process_query(Recorder().query())
    assert served.requests[0].target == "/v1/messages"


def test_a_local_provider_needs_no_api_key() -> None:
    """The header is left out."""
    with provider(http(200, message("Forty-two."))) as served:
        anthropic(served.base_url, stream=False, api_key=None).process_query(Recorder().query())
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
def test_invalid_settings_are_rejected_at_start(settings: dict[str, Any], words: str) -> None:
    """The error names the setting, and shows no secret."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        anthropic_backend(**{"base_url": "https://x", "api_key": "sk-1", "model": "m1"} | settings)
    assert "pass" not in str(refused.value)


def test_the_backend_declares_its_name_and_capabilities() -> None:
    """Its representation does not show the API key."""
    backend = anthropic("http://127.0.0.1:1")
    assert (backend.name, backend.is_async) == ("anthropic", False)
    assert backend.capabilities == {"tools", "images", "files", "prefill", "json_schema"}
    assert KEY not in repr(backend)


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
def test_a_stream_is_retried_before_its_first_output(broken: Any) -> None:
    """The client gets one answer."""
    recorder, waits = Recorder(), FakeSleep()
    with provider(broken, broken, FORTY_TWO) as served:
        openai(served.base_url, sleep=waits).process_query(recorder.query())
    assert (recorder.text, waits.seconds) == ("Forty-two.", [1.0, 2.0])
    with provider(broken) as served, pytest.raises(BackendUnavailable):
        openai(served.base_url).process_query(Recorder().query())
    assert len(served.requests) == 3


def test_max_attempts_can_be_one() -> None:
    """With a fallback, no client waits for retries."""
    waits = FakeSleep()
    with provider(http(429, b""), FORTY_TWO) as served, pytest.raises(BackendUnavailable):
        openai(served.base_url, sleep=waits, max_attempts=1).process_query(Recorder().query())
    assert (len(served.requests), waits.seconds) == (1, [])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (cut(chunks("Forty-")), "The model provider's response broke off"),
        (stream(chunks("Forty-")), "The model provider's response broke off"),
        (cut(chunks("Forty-"), b"data: {"), "The model provider's response broke off"),
        (stream(chunks("Forty-", {"error": {"code": 503}})), "The model provider is busy, please try again later"),
        (stream(chunks("Forty-"), b"data: {\n\n"), "The model provider's response cannot be parsed"),
    ],
)
def test_a_stream_that_breaks_after_output_is_an_error(broken: Any, words: str) -> None:
    """It is neither retried, nor handed to a fallback, nor taken as complete."""
    recorder, waits = Recorder(), FakeSleep()
    with provider(broken, FORTY_TWO) as served, pytest.raises(BackendError, match=words) as failed:
        openai(served.base_url, sleep=waits).process_query(recorder.query())
    assert (recorder.text, waits.seconds, len(served.requests)) == ("Forty-", [], 1)
    assert type(failed.value) is BackendError


@pytest.mark.parametrize("again", [b"", b": keep-alive\n\n", chunks(""), chunks(chunk(delta={"role": "assistant"}))])
def test_the_idle_timeout_ends_a_silent_stream_and_closes_its_connection(
    again: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Keep-alive comments and empty deltas count as silence."""
    recorder = Recorder()
    with provider(hold(chunks("Forty-"), again=again)) as served:
        with pytest.raises(BackendError, match="timed out") as failed:
            openai(served.base_url, idle_timeout=0.1).process_query(recorder.query())
        assert served.ended.wait(5)
    assert (recorder.text, type(failed.value), len(served.requests)) == ("Forty-", BackendError, 1)
    assert "silent for 0 s" in caplog.text


def test_pings_do_not_reset_the_idle_timeout() -> None:
    """As comments do not."""
    with provider(hold(parts(block(), "Forty-"), again=parts(PING))) as served:
        with pytest.raises(BackendError, match="timed out"):
            anthropic(served.base_url, idle_timeout=0.1).process_query(Recorder().query())
        assert served.ended.wait(5)


@pytest.mark.parametrize("before", [b"", b": keep-alive\n\n", chunks("")])
def test_before_the_first_output_only_the_deadline_applies(before: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A model may think for as long as the run may take."""
    with provider(hold(before, again=before)) as served:
        with pytest.raises(BackendError, match="timed out"):
            openai(served.base_url, idle_timeout=0.01, timeout=-0.8).process_query(Recorder().query())
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
def test_a_connection_left_open_after_the_answer_does_not_delay_it(ending: bytes, again: bytes) -> None:
    """Nor does further data."""
    recorder = Recorder()
    with provider(hold(chunks("Forty-two."), ending, again=again)) as served:
        answer = openai(served.base_url, idle_timeout=0.3).process_query(recorder.query())
        assert served.ended.wait(5)
    assert (recorder.text, answer) == ("Forty-two.", Answer(""))


def test_an_endless_stream_ends_at_the_size_limit() -> None:
    """The limit is the same as for a whole answer."""
    with provider(hold(chunks("Forty-"), again=chunks("x" * 1000) * 50)) as served:
        with pytest.raises(BackendError, match="too large"):
            openai(served.base_url, max_body_bytes=100_000).process_query(Recorder().query())
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
def test_a_body_that_is_neither_a_stream_nor_an_answer_is_an_error(reply: bytes) -> None:
    """It is not retried."""
    with provider(reply) as served, pytest.raises(BackendError, match="cannot be parsed"):
        openai(served.base_url).process_query(Recorder().query())
    assert len(served.requests) == 1


@each_format
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
def test_unavailable_providers_and_rejected_requests_raise_different_errors(
    make: Make, whole: bytes, streamed: bytes, status: int, error: type[BackendError], streams: bool
) -> None:
    """A fallback is asked only for the former."""
    with provider(http(status, b"")) as served, pytest.raises(BackendError) as failed:
        make(served.base_url, stream=streams).process_query(Recorder().query())
    assert type(failed.value) is error


@each_format
def test_an_unreachable_provider_is_unavailable(make: Make, whole: bytes, streamed: bytes) -> None:
    """On a closed port, or with an invalid host name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}", "http://a..b"):
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            make(address).process_query(Recorder().query())


def test_the_log_names_the_api_format_and_masks_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Also in errors inside a stream."""
    said = stream(parts({"type": "error", "error": {"type": "authentication_error", "message": f"invalid {KEY}"}}))
    with provider(said) as served, caplog.at_level(logging.INFO), pytest.raises(BackendError, match="API key"):
        anthropic(served.base_url).process_query(Recorder().query())
    [record] = [record for record in caplog.records if record.name == "persona_stream.backends.anthropic"]
    assert "invalid ***" in record.getMessage()
    assert KEY not in caplog.text


def test_waits_and_retries_are_reported_to_the_client() -> None:
    """In the language of the query."""
    reports: list[str] = []
    query = query_with(
        Query(username="ada", message="How many?", locale="zh"), on_progress=lambda text, fraction: reports.append(text)
    )
    with provider(cut(), FORTY_TWO) as served:
        openai(served.base_url).process_query(query)
    assert reports == ["正在等待模型回复...", "暂时无法连接模型服务，1 秒后重试...", "正在等待模型回复..."]


@each_format
def test_the_circuit_breaker_opens_after_five_failures(make: Make, whole: bytes, streamed: bytes) -> None:
    """Queries then fail at once; after the open time one probes the provider, and its answer closes the circuit."""
    clock = FakeClock(100.0)
    with provider(*[http(502, b"")] * 5, whole) as served:
        backend = make(served.base_url, clock=clock, max_attempts=1)
        for _ in range(5):
            assert backend.retry_after() == 0.0
            with pytest.raises(BackendUnavailable, match="failed"):
                backend.process_query(Recorder().query())
        assert backend.retry_after() == 5.0
        with pytest.raises(BackendUnavailable, match=r"is unavailable, please try again in 5 s"):
            backend.process_query(Recorder().query())
        assert len(served.requests) == 5
        clock.now += 5.0
        answer = backend.process_query(Recorder().query())
        assert isinstance(answer, Answer)
        assert answer.text == "Forty-two."
        assert backend.retry_after() == 0.0


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_rejected_requests_do_not_open_the_circuit(status: int) -> None:
    """The provider is up, and may accept other requests."""
    with provider(http(status, b"")) as served:
        backend = openai(served.base_url, clock=FakeClock(100.0), max_attempts=1)
        for _ in range(8):
            with pytest.raises(BackendError):
                backend.process_query(Recorder().query())
        assert backend.retry_after() == 0.0
        assert len(served.requests) == 8


@pytest.mark.parametrize(("waited", "rest"), [(149.0, 0.0), (150.0, 5.0)])
def test_a_run_killed_at_its_deadline_counts_as_a_failure(waited: float, rest: float) -> None:
    """One killed earlier, by a cancel, does not."""
    clock = FakeClock(100.0)

    class Kill(BaseException):
        pass

    class Silent(requests.Session):
        def post(self, *_: object, **__: object) -> requests.Response:
            clock.now += waited
            raise Kill

    backend = openai("http://127.0.0.1:9/v1", clock=clock, session=Silent())
    for _ in range(5):
        with pytest.raises(Kill):
            backend.process_query(Recorder().query())
    assert backend.retry_after() == rest


def test_the_retry_budget_bounds_the_retries_of_all_queries() -> None:
    """An overloaded provider does not get three times the requests."""
    waits = FakeSleep()
    with provider(http(429, b"")) as served:
        backend = openai(served.base_url, clock=FakeClock(100.0), sleep=waits)
        for _ in range(50):
            with pytest.raises(BackendUnavailable):
                backend.process_query(Recorder().query())
    assert 50 + 10 <= len(served.requests) <= 50 + 10 + 10


def test_a_rejected_field_is_left_out_and_remembered() -> None:
    """So that only the first query pays for it."""
    rejected = http(400, {"error": {"message": "'seed' is not supported", "param": "seed"}})
    with provider(rejected, http(200, completion())) as served:
        asked = openai_backend(base_url=served.base_url, api_key="", model="m1", sleep=FakeSleep())
        for _ in range(2):
            query = Recorder().query(parameters={"seed": 1, "temperature": 0.5})
            assert asked.process_query(query) == Answer("Forty-two.")
    assert ["seed" in request.body for request in served.requests] == [True, False, False]
    assert all(request.body["temperature"] == 0.5 for request in served.requests)


def test_a_rejection_that_never_ends_is_an_error() -> None:
    """It names the field of the request, in the words of this server."""
    with provider(http(400, {"error": {"message": "x", "param": "response_format"}})) as served:
        asked = openai_backend(base_url=served.base_url, api_key="", model="m1", sleep=FakeSleep())
        with pytest.raises(BackendError, match="rejected the request because of response_format") as failed:
            asked.process_query(Recorder().query(parameters={"response_format": {"type": "json_object"}}))
    assert (failed.value.code, len(served.requests)) == ("backend_error", 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Retry-After: 2", "retry-after-ms: 250"], 0.25),  # openai/openai-python #957
        (["Retry-After: 2", "x-ms-retry-after-ms: 1500"], 1.5),  # Azure/azure-sdk-for-python #9092
        (["Retry-After: 2", "retry-after-ms: soon"], 2.0),  # openai/openai-python PR 1046
        (["Retry-After: 2", "retry-after-ms: -1"], 2.0),
        (["Retry-After: 2"], 2.0),
    ],
    ids=str,
)
def test_a_delay_in_milliseconds_has_precedence(headers: list[str], seconds: float) -> None:
    """Providers send whole seconds beside it, for clients that do not know it."""
    waits = FakeSleep()
    with provider(
        http(429, {}, "\r\n".join(headers)), http(200, {"choices": [{"message": {"content": "Hi"}}]})
    ) as served:
        asked = openai_backend(base_url=served.base_url, api_key="", model="m1", sleep=waits)
        asked.process_query(Recorder().query())
    [waited] = waits.seconds
    assert seconds <= waited <= seconds + 0.5


@pytest.mark.parametrize(
    ("replies", "requests"),
    [
        ([http(429, {}, "Retry-After: 24")], 2),
        ([http(429, {}, "Retry-After: 13"), http(429, {}, "Retry-After: 13")], 2),
        ([http(429, {}, "Retry-After: 26")], 1),
        ([http(429, {"error": {"message": "Try again in 1m5s"}})], 1),
    ],
)
def test_a_delay_beyond_the_window_is_passed_on(replies: list[bytes], requests: int) -> None:
    """All delays of a query together; the client learns the last one."""
    clock = FakeClock(100.0)
    waits = FakeSleep()

    def sleep(seconds: float) -> None:
        waits(seconds)
        clock.now += seconds

    with provider(*replies, http(429, {}, "Retry-After: 60")) as served:
        asked = openai_backend(base_url=served.base_url, api_key="", model="m1", sleep=sleep, clock=clock)
        with pytest.raises(BackendUnavailable) as failed:
            asked.process_query(Recorder().query())
    assert len(served.requests) == requests
    assert sum(waits.seconds) < 25.5
    assert failed.value.code == "rate_limited"
    assert failed.value.retry_after is not None
    assert failed.value.retry_after >= 13
