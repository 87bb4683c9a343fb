"""Tests of the OpenAI backend over HTTP: requests, framing, retries, timeouts and settings."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.backend import openai_backend
from persona_stream.core.query import Answer, Query, Turn, UpstreamCall, Usage
from persona_stream.errors import BackendError, ConfigurationError
from persona_stream.logging import trace_headers
from persona_stream.personas.persona import Persona
from tests.backends.fake_provider import DONE, FakeSleep, Provider, chunks, completion, http, provider, stream
from tests.fakes import query_with

KEY = "sk-0123456789abcdef"
OK = http(200, completion())


def backend(base_url: str, **more: Any) -> Backend:
    settings: dict[str, Any] = {"api_key": KEY, "model": "m1", "jitter": lambda: 0.5, "sleep": FakeSleep()}
    return openai_backend(base_url=base_url, **settings | more)


def query(reports: list[tuple[str, float | None]] | None = None, **more: Any) -> Query:
    taken = [] if reports is None else reports
    fields: dict[str, Any] = {"username": "ada", "message": "How many?", "locale": "en"}
    return query_with(Query(**fields | more), on_progress=lambda message, fraction: taken.append((message, fraction)))


def test_a_query_is_sent_as_a_chat_completion() -> None:
    """Text, reasoning, usage and the raw body are returned."""
    body = completion(
        "四十二", message={"reasoning_content": "6 × 7"}, usage={"prompt_tokens": 7, "completion_tokens": 9}
    )
    reports: list[tuple[str, float | None]] = []
    asked = query(
        reports,
        persona=Persona(username="ada", name="Ada", tagline={}, prompt="You are Ada."),
        prompt="Be brief.",
        history=(Turn("user", "Hello"), Turn("assistant", "Good day")),
    )
    with provider(http(200, body)) as served:
        answer = backend(served.base_url + "/").process_query(asked)
    assert answer == Answer("四十二", "6 × 7", Usage(input_tokens=7, output_tokens=9))
    assert isinstance(answer, Answer)
    assert answer.raw == body
    [request] = served.requests
    assert request.target == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "model": "m1",
        "stream": False,
        "messages": [
            {"role": "system", "content": "You are Ada.\n\nBe brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good day"},
            {"role": "user", "content": "How many?"},
        ],
    }
    assert reports == [("Waiting for the model...", None)]


def test_an_empty_system_prompt_and_an_empty_key_are_left_out() -> None:
    """A local provider gets no Authorization header, and no empty system message."""
    with provider(OK) as served:
        backend(served.base_url, api_key="").process_query(query())
    assert "authorization" not in served.requests[0].headers
    assert served.requests[0].body["messages"] == [{"role": "user", "content": "How many?"}]


def test_connections_are_reused() -> None:
    """Also after an error; cookies are not sent back."""
    with provider(http(500, "{}", "Set-Cookie: who=me; Path=/"), OK) as served:
        client = backend(served.base_url)
        with pytest.raises(BackendError):
            client.process_query(query())
        for _ in range(3):
            assert client.process_query(query()) == Answer("Forty-two.")
    assert served.connections == 1
    assert [request.headers.get("cookie") for request in served.requests] == [None] * 4


def test_an_idle_connection_that_the_provider_closed_is_replaced() -> None:
    """Without using up an attempt."""

    def answer_and_close(connection: socket.socket) -> None:
        connection.sendall(OK)

    waits = FakeSleep()
    with provider(answer_and_close) as served:
        client = backend(served.base_url, sleep=waits)
        for _ in range(3):
            served.ended.clear()
            assert client.process_query(query()) == Answer("Forty-two.")
            assert served.ended.wait(5)
    assert served.connections == 3
    assert waits.seconds == []


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def until_close(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + http(200, completion()).partition(b"\r\n\r\n")[2])


BODY = OK.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(OK, id="content-length"),
        pytest.param(chunked(BODY), id="chunked"),
        pytest.param(chunked(*(BODY[i : i + 1] for i in range(len(BODY)))), id="chunks of a byte"),
        pytest.param(until_close, id="until close"),
        pytest.param(http(200, gzip.compress(BODY), "Content-Encoding: gzip"), id="gzip"),
        pytest.param(http(200, BODY, "Content-Type: text/html; charset=latin-1"), id="wrong type"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="after 100 Continue"),
        pytest.param(
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
            id="notatallshaw/nab PR 1130: after 103 Early Hints",
        ),
    ],
)
def test_a_body_is_read_in_every_http_framing(reply: bytes | Callable[[socket.socket], None]) -> None:
    """With a length, in chunks, compressed, or until the connection closes."""
    with provider(reply) as served:
        assert backend(served.base_url).process_query(query()) == Answer("Forty-two.")


@pytest.mark.parametrize(
    ("status", "zh", "en", "tries"),
    [
        (401, "模型服务拒绝了本服务器的 API 密钥", "The model provider rejected this server's API key", 1),
        (403, "模型服务拒绝了本服务器的 API 密钥", "The model provider rejected this server's API key", 1),
        (402, "本服务器在模型服务的额度已用完", "This server's credit with the model provider is used up", 1),
        (404, "模型服务中没有所配置的模型", "The model provider does not have the configured model", 1),
        (400, "模型服务拒绝了本服务器的 API 密钥", "The model provider rejected this server's API key", 1),
        (413, "对话超出了模型的上下文长度", "The conversation is longer than the model's context length", 1),
        (
            429,
            "已达到模型服务的速率限制，请稍后重试",
            "The model provider's rate limit is reached, please try again later",
            3,
        ),
        (500, "模型服务出现故障，请稍后重试", "The model provider failed, please try again later", 1),
        (502, "模型服务出现故障，请稍后重试", "The model provider failed, please try again later", 3),
        (503, "模型服务繁忙，请稍后重试", "The model provider is busy, please try again later", 3),
        (504, "模型服务响应超时，请稍后重试", "The model provider timed out, please try again later", 3),
        (307, "无法连接模型服务，请稍后重试", "The model provider cannot be reached, please try again later", 1),
    ],
)
def test_errors_of_the_provider_are_quoted_in_the_log_only(
    status: int, zh: str, en: str, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets our text; the API key, which some providers quote, appears in neither."""
    said = {"error": {"message": f"Incorrect API key provided: {KEY}. I am the provider.", "type": "x"}}
    with provider(http(status, said)) as served, caplog.at_level(logging.DEBUG):
        for locale, words in (("zh", zh), ("en", en)):
            with pytest.raises(BackendError) as failed:
                backend(served.base_url).process_query(query(locale=locale))
            assert str(failed.value) == words
            assert failed.value.__cause__ is None
            assert failed.value.__suppress_context__
    assert len(served.requests) == 2 * tries
    assert "Incorrect API key provided: ***. I am the provider." in caplog.text
    assert KEY not in caplog.text
    ours = {record.name for record in caplog.records if "I am the provider" in record.getMessage()}
    assert ours == {"persona_stream.backends.openai"}


def test_retries_wait_for_retry_after_or_an_exponential_backoff() -> None:
    """Each delay is reported to the client."""
    waits = FakeSleep()
    reports: list[tuple[str, float | None]] = []
    with provider(http(429, {}), http(503, {}, "Retry-After: 7"), OK) as served:
        assert backend(served.base_url, sleep=waits).process_query(query(reports)) == Answer("Forty-two.")
    assert waits.seconds == [1.0, 7.25]
    assert [message for message, _ in reports] == [
        "Waiting for the model...",
        "The model provider is busy, retrying in 1 s...",
        "Waiting for the model...",
        "The model provider is busy, retrying in 8 s...",
        "Waiting for the model...",
    ]
    assert len(served.requests) == 3
    assert len({str(request.body) for request in served.requests}) == 1


@pytest.mark.parametrize("header", ["Retry-After: 26", "Retry-After: 9999999", "x-should-retry: false"])
def test_a_long_retry_after_or_a_refusal_ends_the_query(header: str) -> None:
    """No further attempt is made."""
    waits = FakeSleep()
    with provider(http(429, {}, header), OK) as served, pytest.raises(BackendError, match="rate limit"):
        backend(served.base_url, sleep=waits).process_query(query())
    assert (len(served.requests), waits.seconds) == (1, [])


def test_no_retry_is_scheduled_after_the_deadline() -> None:
    """The query fails at once instead."""
    waits = FakeSleep()
    with provider(http(429, {}, "Retry-After: 20")) as served, pytest.raises(BackendError, match="rate limit"):
        backend(served.base_url, sleep=waits, timeout=10.0).process_query(query())
    assert (len(served.requests), waits.seconds) == (1, [])


def close_at_once(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def stop_in_the_middle(connection: socket.socket) -> None:
    connection.sendall(OK[:-5])


def stop_in_a_chunk(connection: socket.socket) -> None:
    connection.sendall(chunked(BODY)[:-20])


def send_another_protocol(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9\r\n\r\n")


@pytest.mark.parametrize("broken", [close_at_once, reset, stop_in_the_middle, stop_in_a_chunk, send_another_protocol])
def test_a_broken_connection_is_retried_twice(broken: Callable[[socket.socket], None]) -> None:
    """Wherever it breaks; after the third failure the query fails."""
    waits = FakeSleep()
    reports: list[tuple[str, float | None]] = []
    with provider(broken, broken, OK) as served:
        assert backend(served.base_url, sleep=waits).process_query(query(reports)) == Answer("Forty-two.")
    assert waits.seconds == [1.0, 2.0]
    assert reports[1] == ("The model provider cannot be reached, retrying in 1 s...", None)
    with provider(broken) as served, pytest.raises(BackendError, match="cannot be reached"):
        backend(served.base_url).process_query(query())
    assert len(served.requests) == 3


def test_a_refused_connection_is_retried_twice() -> None:
    """Like a broken one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    waits = FakeSleep()
    with pytest.raises(BackendError, match="cannot be reached"):
        backend(f"http://127.0.0.1:{port}/v1", sleep=waits).process_query(query())
    assert waits.seconds == [1.0, 2.0]


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_an_invalid_host_name_is_an_unreachable_provider(host: str) -> None:
    """Its error is translated like any other."""
    with pytest.raises(BackendError, match="cannot be reached"):
        backend(f"http://{host}/v1").process_query(query())


def test_tls_errors_are_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrusted certificates and missing files fail in the same way each time."""
    waits = FakeSleep()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_without_tls() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_without_tls)
        thread.start()
        with pytest.raises(BackendError, match="cannot be reached"):
            backend(f"https://127.0.0.1:{listener.getsockname()[1]}/v1", sleep=waits).process_query(query())
        thread.join()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with provider(OK) as served, pytest.raises(BackendError, match="cannot be reached"):
        backend(served.base_url.replace("http:", "https:"), sleep=waits).process_query(query())
    assert waits.seconds == []


def wait_for_the_end(connection: socket.socket) -> None:
    assert connection.recv(1) == b""


def head_and_wait(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    assert connection.recv(1) == b""


@pytest.mark.parametrize("silent", [wait_for_the_end, head_and_wait])
def test_a_read_timeout_is_not_retried_and_closes_the_connection(silent: Callable[[socket.socket], None]) -> None:
    """The provider has the request, and may be working on it."""
    waits = FakeSleep()
    with provider(silent) as served:
        with pytest.raises(BackendError, match="timed out"):
            backend(served.base_url, timeout=-0.9, sleep=waits).process_query(query())
        assert served.ended.wait(5)
    assert (len(served.requests), waits.seconds) == (1, [])


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for_ever(connection)


def for_ever(connection: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection.sendall(b" " * 1000)


def test_a_body_that_trickles_in_ends_at_the_deadline() -> None:
    """Also where the run cannot be killed."""
    ticks = count(step=0.25)
    with provider(drip) as served:
        with pytest.raises(BackendError, match="timed out"):
            backend(served.base_url, timeout=20.0, clock=lambda: next(ticks)).process_query(query())
        assert served.ended.wait(5)
    assert len(served.requests) == 1


BOMB = gzip.compress(b" " * 40_000_000)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(drip, id="endless"),
        pytest.param(http(200, b" " * 2_000_000), id="long"),
        pytest.param(http(200, BOMB, "Content-Encoding: gzip"), id="bomb"),
    ],
)
def test_a_body_over_the_size_limit_is_rejected_early(reply: bytes | Callable[[socket.socket], None]) -> None:
    """Counted after decompression; the rest of it is not read."""
    with provider(reply) as served:
        client = backend(served.base_url, max_body_bytes=1_000_000)
        with pytest.raises(BackendError, match="too large"):
            client.process_query(query())
        assert reply is not drip or served.ended.wait(5)


def test_a_body_at_the_size_limit_is_accepted() -> None:
    """The limit is inclusive."""
    with provider(OK) as served:
        assert backend(served.base_url, max_body_bytes=len(BODY)).process_query(query()) == Answer("Forty-two.")


def test_only_the_beginning_of_an_error_body_is_read() -> None:
    """An endless error page is reported by its status."""

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 401 No\r\n\r\n")
        for_ever(connection)

    with provider(endless) as served:
        with pytest.raises(BackendError, match="API key"):
            backend(served.base_url).process_query(query())
        assert served.ended.wait(5)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="nothing"),
        pytest.param(http(200, b"not gzip", "Content-Encoding: gzip"), id="broken gzip"),
        pytest.param(http(200, b"<html>busy</html>", "Content-Type: text/html"), id="html"),
        pytest.param(http(200, b'data: {"choices": []}\n\n', "Content-Type: text/event-stream"), id="a stream"),
    ],
)
def test_a_successful_response_without_json_is_an_error(reply: bytes) -> None:
    """It is not retried."""
    with provider(reply) as served, pytest.raises(BackendError, match="cannot be parsed"):
        backend(served.base_url).process_query(query())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """The API key would be sent to their target."""
    with (
        provider(OK) as other,
        provider(http(status, b"", f"Location: {other.base_url}/x")) as served,
        pytest.raises(BackendError, match="cannot be reached"),
    ):
        backend(served.base_url).process_query(query())
    assert (len(served.requests), len(other.requests)) == (1, 0)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Provider, pytest.MonkeyPatch]]:
    """Set a proxy in the environment, and a .netrc with a password for every host."""
    (tmp_path / "netrc").write_text("default login me password secret\n")
    for name in ("http_proxy", "HTTPS_PROXY", "https_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with provider(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        yield proxy, monkeypatch


def test_the_proxy_of_the_environment_is_used_and_netrc_is_not(
    environment: tuple[Provider, pytest.MonkeyPatch],
) -> None:
    """The proxy is read when the backend is created; .netrc never replaces the API key."""
    proxy, monkeypatch = environment
    client = backend("http://provider.invalid/v1")
    monkeypatch.delenv("http_proxy")
    assert client.process_query(query()) == Answer("Forty-two.")
    assert proxy.requests[0].target == "http://provider.invalid/v1/chat/completions"
    assert proxy.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "excepted.invalid"])
def test_local_providers_and_no_proxy_hosts_bypass_the_proxy(
    host: str, environment: tuple[Provider, pytest.MonkeyPatch]
) -> None:
    """The proxy receives no request."""
    proxy, monkeypatch = environment
    monkeypatch.setenv("no_proxy", "excepted.invalid")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BackendError, match="cannot be reached"):
        backend(f"http://{host}:{port}/v1").process_query(query())
    assert proxy.requests == []


def test_a_custom_session_is_used() -> None:
    """For special certificates or adapters."""
    with requests.Session() as session, provider(OK) as served:
        session.headers["X-Mine"] = "yes"
        assert backend(served.base_url, session=session).process_query(query()) == Answer("Forty-two.")
        assert served.requests[0].headers["x-mine"] == "yes"


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/deep/er/v1", "/deep/er/v1/chat/completions"),
    ],
)
def test_the_base_url_is_normalized(base_url: str, target: str) -> None:
    """With or without a slash, and with or without the endpoint."""
    with provider(OK) as served:
        backend(served.base_url.removesuffix("/v1") + base_url).process_query(query())
    assert served.requests[0].target == target


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": ""}, ["openai_base_url", "https://api.openai.com/v1"]),
        ({"base_url": None}, ["openai_base_url"]),
        ({"base_url": "api.openai.com/v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "ftp://x/v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "http:///v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "http://x:99999/v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "http://x:0/v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "http://[::1/v1"}, ["openai_base_url is not a valid URL"]),
        ({"base_url": "https://me:pass@x/v1"}, ["openai_base_url must not contain a user name"]),
        ({"base_url": "https://x/v1?key=pass"}, ["openai_base_url must not contain a user name"]),
        ({"base_url": "https://x/v1#pass"}, ["openai_base_url must not contain a user name"]),
        ({"model": ""}, ["openai_model"]),
        ({"model": None}, ["openai_model"]),
        ({"api_key": "sk pass"}, ["openai_api_key"]),
        ({"api_key": "sk-pass\nX-Evil: 1"}, ["openai_api_key"]),
        ({"api_key": "sk-pass…"}, ["openai_api_key"]),
    ],
)
def test_invalid_settings_are_rejected_at_start(settings: dict[str, Any], words: list[str]) -> None:
    """The error names the setting, and shows no secret."""
    with pytest.raises(ConfigurationError) as refused:
        openai_backend(**{"base_url": "https://x/v1", "api_key": "sk-1", "model": "m1"} | settings)
    for word in words:
        assert word in str(refused.value)
    assert "pass" not in str(refused.value)


def test_white_space_around_the_api_key_is_removed() -> None:
    """A key read from a file ends with a newline."""
    with provider(OK) as served:
        backend(served.base_url, api_key=f" {KEY}\n").process_query(query())
    assert served.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_backend_declares_its_name_and_capabilities() -> None:
    """Its representation does not show the API key."""
    made = backend("http://127.0.0.1:1/v1")
    assert (made.name, made.is_async) == ("openai", False)
    assert made.capabilities == {
        "tools", "images", "files", "audio_input", "prefill", "response_format", "json_schema", "choices", "logprobs",
        "audio",
    }  # fmt: skip
    assert KEY not in repr(made)


def test_every_attempt_is_recorded_as_an_upstream_call() -> None:
    """With its error, also if the run is stopped."""
    calls: list[tuple[str, bool]] = []

    def asked(upstream: UpstreamCall) -> None:
        calls.append((upstream.status, upstream.error is None))

    def stopped(text: str) -> None:
        raise SystemExit  # as a kill does, wherever the work is then

    with provider(http(503, "busy"), OK) as served:
        backend(served.base_url).process_query(query_with(Query(username="ada", message="Hi"), on_upstream_call=asked))
    asking = query_with(Query(username="ada", message="Hi"), on_text=stopped, on_upstream_call=asked)
    with provider(stream(chunks("Forty"), chunks("-two."), DONE)) as served, pytest.raises(SystemExit):
        backend(served.base_url, stream=True).process_query(asking)
    assert calls == [("busy", False), ("answered", True), ("stopped", False)]


def test_trace_headers_are_forwarded() -> None:
    """They cannot replace the Authorization header."""
    with provider(OK) as served:
        token = trace_headers.set({"traceparent": "00-1-2-01"})
        try:
            backend(served.base_url).process_query(query())
        finally:
            trace_headers.reset(token)
        backend(served.base_url).process_query(query())
    first, second = served.requests
    assert first.headers["traceparent"] == "00-1-2-01"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert "traceparent" not in second.headers
