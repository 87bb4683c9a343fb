"""The fast lane responds as Flask does, to every route that takes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from persona_stream.protocols.registry import PROTOCOLS
from tests.http.bare import connect, head, post, read_to_end, statuses
from tests.http.conftest import SERVERS
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve

SMART = "/api/stream_chat_smart"
EVENTS = "/api/runs/RUN/events"
ENDPOINTS = sorted({path for protocol in PROTOCOLS.values() for path in protocol.run_endpoints})
# Ids, times and tickets differ from one request to the next.
_VARYING = re.compile(
    r"[0-9a-z]{26}|req_[0-9a-f]{24}|ticket=[\w.-]+|(?<=time\":)[\d.]+|(?<=\"created\":)\d+|(?<=_at\":)\d+|signature\":\"[^\"]+"
)


@pytest.fixture(scope="module")
def both() -> Iterator[list[ServerProcess]]:
    """Both servers, with an own rate limit, so that its headers are compared too."""
    with ThreadPoolExecutor() as pool:
        served = list(
            pool.map(
                lambda module: serve(
                    "tests.backends_for_tests:chosen", module=module, executor="greenlet", rate_limit="1000/hour"
                ),
                SERVERS.values(),
            )
        )
    yield served
    assert [each.stop() for each in served] == [0, 0]


def shape(response: requests.Response) -> tuple[int, dict[str, str], str]:
    """Return a response without the parts that differ from one request to the next."""
    headers = {name.lower(): _VARYING.sub("*", value) for name, value in response.headers.items()}
    for name in ("date", "ratelimit", "content-length"):
        headers.pop(name, None)
    return response.status_code, headers, _VARYING.sub("*", response.text)


BODIES: dict[str, object] = {
    "native": {"username": "quick", "message": "Hi"},
    "messages": {"model": "quick", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100},
    "streamed messages": {
        "model": "quick", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100, "stream": True,
    },
    "prompt": {"model": "quick", "prompt": "Hi"},
    "input": {"model": "quick", "input": "Hi", "stream": True},
    "parts": {"id": "chat-1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]},
    "unknown model": {"model": "?", "messages": [], "max_tokens": 1},
    "an empty object": {},
    "a list": [],
}  # fmt: skip
HEADERS: dict[str, dict[str, str]] = {
    "plain": {},
    "JSON preferred": {"Accept": "application/json"},
    "nothing acceptable": {"Accept": "image/png"},
    "no JSON": {"Content-Type": "text/plain"},
    "compressed": {"Content-Encoding": "gzip"},
    "English": {"Accept-Language": "en"},
    "of another origin": {"Origin": "https://example.org"},
    "a bad key": {"Idempotency-Key": "ö".encode().decode("latin-1")},
    "an unknown heartbeat": {"X-Persona-Heartbeat": "?"},
    "no token": {"Authorization": "Basic x"},
    "a bad token": {"Authorization": "Bearer x"},
}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_every_run_endpoint_responds_alike(both: list[ServerProcess], path: str) -> None:
    """Each combination of a body and headers: status, headers and body."""
    sessions = [served.session() for served in both]

    def responses(body: object, headers: dict[str, str]) -> list[tuple[int, dict[str, str], str]]:
        data = json.dumps(body)
        fields = {"Content-Type": "application/json", **headers}
        return [
            shape(session.post(served.url + path, data=data, headers=fields, timeout=60))
            for session, served in zip(sessions, both, strict=True)
        ]

    cases = [(body, {}) for body in BODIES.values()]
    cases += [(BODIES["native"], headers) for headers in HEADERS.values()]
    seen = set()
    for body, headers in cases:
        fast, wsgi = responses(body, headers)
        assert fast == wsgi, (body, headers)
        seen.add(fast[0])
    assert {200, 400, 401} <= seen


QUERIES = (
    "",
    "?from=5",
    "?from=x",
    "?protocol=openai",
    "?protocol=?",
    "?style=basic&locale=en",
    "?ticket=x",
    "?%ff=%ff",
)


def test_reading_a_run_responds_alike(both: list[ServerProcess]) -> None:
    """By token, by ticket, from any position, and for runs that do not exist."""
    answers = []
    for served in both:
        started = served.post(SMART, {"username": "quick", "message": "Hi there"})
        first = json.loads(started.text.split("data: ")[1].split("\n")[0])
        path = EVENTS.replace("RUN", first["run_id"])
        got = [shape(served.get(path + query)) for query in QUERIES]
        got.append(shape(served.get(first["events_url"], user=None)))
        got.append(shape(served.get(path, user=None)))
        got.append(shape(served.get(path, user="mallory")))
        last = re.findall(r"^id: (\S+)", started.text, re.MULTILINE)[-1]
        got.append(shape(served.get(path, headers={"Last-Event-ID": last})))
        got.append(shape(served.get(path, headers={"Last-Event-ID": "x"})))
        got.append(shape(served.get(EVENTS)))
        answers.append(got)
    fast, wsgi = answers
    assert fast == wsgi
    assert {status for status, _, _ in fast} == {200, 204, 400, 401, 404}


def test_a_body_in_pieces_is_served(server: ServerProcess) -> None:
    """Most clients send it after the head; one that takes longer gets a greenlet."""
    body = b'{"username":"quick","message":"Hi"}'
    with connect(server.url) as connection:
        for pause in (False, True):
            connection.sendall(post(b"Content-Length: %d" % len(body)) + body[:10])
            if pause:
                connection.settimeout(0.5)  # longer than the server waits without a greenlet
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                connection.settimeout(30)
            connection.sendall(body[10:])
            received = b""
            while b"You said" not in received:
                received += connection.recv(65536)
        connection.sendall(head("GET /healthz", b"Connection: close"))
        assert statuses(read_to_end(connection)) == [200]


def test_requests_in_a_row_are_answered_in_their_order(server: ServerProcess) -> None:
    """A stream, a response of the fast lane, and one of Flask, all sent at once."""
    body = b'{"username":"quick","message":"Hi"}'
    length = b"Content-Length: %d" % len(body)
    sent = post(length, path=SMART) + body + post(length) + body + head("GET /healthz", b"Connection: close")
    with connect(server.url) as connection:
        connection.sendall(sent)
        received = read_to_end(connection)
    assert statuses(received) == [200, 200, 200]
    complete = received.index(b'"status":"complete"')
    assert complete < received.rindex(b'"total_time"') < received.index(b'"status":"alive"')


def test_a_client_that_leaves_during_a_fast_stream_is_noticed(server: ServerProcess) -> None:
    """The run ends after its grace period; here it is read instead, and has no subscriber any more."""
    body = b'{"username":"slow","message":"2"}'
    with connect(server.url) as connection:
        connection.sendall(post(b"Content-Length: %d" % len(body), path=SMART) + body)
        received = connection.recv(65536)
    run_id = re.search(rb"X-Run-Id: (\S+)", received)[1].decode()
    wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["status"] == "complete")
