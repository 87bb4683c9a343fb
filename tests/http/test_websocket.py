"""WebSockets on a real server: the events of many runs, refusals, and hostile clients."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.http.bare import exchange, statuses
from tests.http.test_other_servers import SERVERS, running
from tests.metrics_client import scrape
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import read
from tests.websocket_client import UPGRADE, Refused, WebSocketClient, frame

TEXT, BINARY, CLOSE, PING, CONTINUATION = 1, 2, 8, 9, 0


def question(message: str, username: str = "slow", **more: Any) -> dict[str, Any]:
    return {"username": username, "message": message, "locale": "en", **more}


def text(messages: list[dict[str, Any]]) -> str:
    return "".join(message["data"] for message in messages if message["status"] == "streaming")


def test_the_events_are_those_of_server_sent_events(server: ServerProcess):
    """With the position and the client's id beside them."""
    with WebSocketClient(server.url) as client:
        client.send("start", id="question 1", request=question("0.5"))
        messages = client.receive_run()
        assert {message.pop("id") for message in messages} == {"question 1"}
        run_id = messages[0]["run_id"]
        events = read(server.get(f"/api/runs/{run_id}/events", params={"locale": "en"}, stream=True))
        assert [(message.pop("event_id"), message) for message in messages] == [
            (event.id, event.data) for event in events
        ]
        assert text(messages) == ENGLISH + CHINESE
        assert server.get(f"/api/runs/{run_id}").json()["status"] == "complete"
        assert client.close() == 1000


@pytest.mark.parametrize("given", ["1", 7, -(2**60), "", "ä"])
def test_the_id_comes_back_unchanged(server: ServerProcess, given: object):
    """A string or an integer; without one, none is sent."""
    with WebSocketClient(server.url) as client:
        client.send("ping", id=given)
        assert client.receive() == {"id": given, "type": "pong"}
        client.send("ping")
        assert client.receive() == {"type": "pong"}


def test_one_connection_carries_a_hundred_runs(server: ServerProcess):
    """Each with its own events, at the same time."""
    with WebSocketClient(server.url, user="centurion") as client:
        for number in range(100):
            client.send("start", id=number, request=question("2", "echo" if number % 2 else "slow"))
        by_id: dict[int, list[dict[str, Any]]] = {number: [] for number in range(100)}
        while not all(messages and messages[-1].get("is_complete") for messages in by_id.values()):
            message = client.receive()
            by_id[message["id"]].append(message)
        assert {messages[-1]["status"] for messages in by_id.values()} == {"complete"}
        assert {text(messages) for number, messages in by_id.items() if number % 2} == {"2"}
        assert {text(messages) for number, messages in by_id.items() if not number % 2} == {ENGLISH + CHINESE}
        assert len({messages[0]["run_id"] for messages in by_id.values()}) == 100
        assert client.close() == 1000
    wait_for(lambda: scrape(server)("open_streams") == 0)


def test_a_run_is_resumed_on_another_connection(server: ServerProcess):
    """After any event: each character once. At its end, a message says so."""
    with WebSocketClient(server.url) as client:
        client.send("start", request=question("0"))
        first = client.receive_until(lambda message: message["status"] == "streaming")
        run_id = first[0]["run_id"]
    with WebSocketClient(server.url) as client:
        client.send("subscribe", id=1, run_id=run_id, last_event_id=first[-1]["event_id"])
        rest = client.receive_run()
        assert text(first) + text(rest) == ENGLISH + CHINESE
        client.send("subscribe", id=2, run_id=run_id, last_event_id=rest[-1]["event_id"])
        assert client.receive() == {"id": 2, "type": "finished", "run_id": run_id}
        client.send("subscribe", id=3, run_id=run_id)
        assert text(client.receive_run()) == ENGLISH + CHINESE


def test_a_run_is_cancelled(server: ServerProcess):
    """Its subscribers receive the end."""
    with WebSocketClient(server.url) as client:
        client.send("start", id="a", request=question("5"))
        run_id = client.receive()["run_id"]
        client.send("cancel", run_id=run_id)
        assert client.receive_run()[-1]["status"] == "cancelled"


def test_an_idempotency_key_joins_the_run(server: ServerProcess):
    """For a client that does not know whether its message arrived."""
    runs = set()
    for _ in range(2):
        with WebSocketClient(server.url) as client:
            client.send("start", request=question("0.2"), idempotency_key="websocket-1")
            runs.add(client.receive()["run_id"])
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("message", "code", "problem"),
    [
        ("no json", "invalid_request", "The message is invalid"),
        ("[]", "invalid_request", "The message is invalid"),
        ('{"type":"shout"}', "invalid_request", "The message is invalid"),
        ('{"type":"ping","id":1.5}', "invalid_request", "The message is invalid"),
        ('{"type":"ping","id":{}}', "invalid_request", "The message is invalid"),
        (json.dumps({"type": "ping", "id": "x" * 300}), "invalid_request", "The message is invalid: id"),
        ('{"type":"start"}', "invalid_request", "The body is not valid JSON"),
        ('{"type":"start","request":{"username":"quick"}}', "invalid_request", "message: is required"),
        (
            '{"type":"start","request":{"message":"x","username":"quick","chunking":"no"}}',
            "invalid_request",
            "chunking",
        ),
        ('{"type":"subscribe"}', "invalid_request", "run_id: is required"),
        ('{"type":"subscribe","run_id":"nonsense"}', "not_found", "Run not found"),
        ('{"type":"subscribe","run_id":"01hf0000000000000000000000"}', "gone", "retention"),
        ('{"type":"cancel","run_id":"../chat"}', "not_found", ""),
        (
            '{"type":"start","request":{"message":"x"},"idempotency_key":"two words"}',
            "invalid_request",
            "Idempotency-Key",
        ),
    ],
)
def test_a_message_is_refused_like_a_request(server: ServerProcess, message: str, code: str, problem: str):
    """With the body of a refusal; the connection stays open."""
    with WebSocketClient(server.url) as client:
        client.send_text(message)
        refused = client.receive()
        assert (refused["success"], refused["code"], refused["is_complete"]) == (False, code, True)
        assert problem in refused["error"]
        client.send("ping", id=1)
        assert client.receive() == {"id": 1, "type": "pong"}


def test_runs_of_other_users_do_not_exist(server: ServerProcess):
    """To subscribe or to cancel."""
    with WebSocketClient(server.url) as client, WebSocketClient(server.url, user="mallory") as other:
        client.send("start", request=question("1"))
        run_id = client.receive()["run_id"]
        for kind in ("subscribe", "cancel"):
            other.send(kind, id=kind, run_id=run_id)
            refused = other.receive()
            assert (refused["id"], refused["code"]) == (kind, "not_found")
        assert client.receive_run()[-1]["status"] == "complete"


def test_the_token_may_be_a_subprotocol(server: ServerProcess):
    """For browsers, which cannot set headers; the server answers with the first one alone."""
    subprotocols = ["persona-stream.v1", f"bearer.{token()}"]
    with WebSocketClient(server.url, user=None, subprotocols=subprotocols) as client:
        assert client.subprotocol == "persona-stream.v1"
        client.send("start", request=question("0", "quick"))
        assert text(client.receive_run()) == "You said: 0"


def test_a_ticket_may_only_subscribe_to_its_run(server: ServerProcess):
    """For clients that have the events_url of a run and no token."""
    run_ids, urls = [], []
    for _ in range(2):
        opening = read(server.post("/api/stream_chat", question("0", "quick"), stream=True))[0].data
        run_ids.append(opening["run_id"])
        urls.append(opening["events_url"].partition("ticket=")[2])
    path = f"/api/ws?run_id={run_ids[0]}&ticket={urls[0]}"
    with WebSocketClient(server.url, path, user=None) as client:
        client.send("ping")
        assert client.receive() == {"type": "pong"}
        client.send("subscribe", run_id=run_ids[0])
        assert text(client.receive_run()) == "You said: 0"
        for kind, fields in (
            ("subscribe", {"run_id": run_ids[1]}),
            ("cancel", {"run_id": run_ids[0]}),
            ("start", {"request": question("0", "quick")}),
        ):
            client.send(kind, **fields)
            assert client.receive()["code"] == "unauthorized"
    for wrong in (f"/api/ws?run_id={run_ids[1]}&ticket={urls[0]}", f"/api/ws?ticket={urls[0]}"):
        with pytest.raises(Refused) as refused:
            WebSocketClient(server.url, wrong, user=None)
        assert refused.value.status == 401


def test_the_expiry_of_a_token_is_checked_at_each_message(server: ServerProcess):
    """Streams that have begun go on, as over HTTP."""
    expiring = token("alice", expires=3.0)
    headers = [("Authorization", f"Bearer {expiring}")]
    with WebSocketClient(server.url, user=None, headers=headers) as client:
        client.send("start", id=1, request=question("5"))
        client.receive()
        until = time.monotonic() + 30
        refused: dict[str, Any] = {}
        while not refused and time.monotonic() < until:
            client.send("ping", id=2)
            reply = client.receive_until(lambda message: message.get("id") == 2)[-1]
            refused = {} if reply.get("type") == "pong" else reply
            time.sleep(0.2)  # between two pings
        assert refused["code"] == "unauthorized"
        client.send("start", id=3, request=question("0"))
        assert client.receive_until(lambda message: message.get("id") == 3)[-1]["code"] == "unauthorized"
        assert client.receive_run()[-1]["status"] == "complete"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"Sec-WebSocket-Protocol": "persona-stream.v1, bearer.x"}, 401),
        ({"Upgrade": ""}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Upgrade": "h2c, WebSocket"}, 101),  # alganet/lint-http PR 568
        ({"Connection": "keep-alive, upgrade"}, 101),  # Firefox; tatsuhiro-t/wslay PR 2
        ({"Connection": "keep-alive"}, 426),  # a proxy has removed it: netty/netty PR 12606
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Content-Length": "1"}, 400),
    ],
)
def test_handshakes_are_refused_with_their_status(server: ServerProcess, headers: dict[str, str], status: int):
    """As JSON, before the connection is a WebSocket."""
    given = {**UPGRADE, "Authorization": f"Bearer {token()}", **headers}
    request = requests.Request("GET", f"{server.url}/api/ws", headers={k: v for k, v in given.items() if v})
    with requests.Session() as session:
        body = b"x" if "Content-Length" in headers else None
        prepared = session.prepare_request(request)
        prepared.body = body
        with session.send(prepared, stream=True, timeout=30) as response:
            assert response.status_code == status
            if status != 101:
                assert response.json()["success"] is False


def test_http_1_0_is_not_upgraded(server: ServerProcess):
    """A proxy that passes requests on in HTTP/1.0 expects a response (RFC 9110 §7.8)."""
    fields = {"Host": "x", **UPGRADE, "Authorization": f"Bearer {token()}"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    received = exchange(server.url, f"GET /api/ws HTTP/1.0\r\n{lines}\r\n".encode())
    assert statuses(received) == [426]


def test_another_value_of_resume_is_refused(server: ServerProcess):
    """Rather than taken for none, with which an answer would end at a hand-over."""
    refused = server.get("/api/ws?resume=yes", headers=dict(UPGRADE))
    assert (refused.status_code, refused.json()["error"]) == (400, "resume: must be 1")


def test_the_origin_of_a_page_is_checked():
    """Against cors_origins: the same-origin policy of browsers does not hold for WebSockets."""
    server = serve("tests.backends_for_tests:quick", cors_origins="https://chat.example.com")
    try:
        for origin in ("https://chat.example.com", server.url):
            with WebSocketClient(server.url, headers=[("Origin", origin)]) as client:
                client.send("ping")
                assert client.receive() == {"type": "pong"}
        for origin in ("https://evil.example.com", "null", "http://["):
            with pytest.raises(Refused) as refused:
                WebSocketClient(server.url, headers=[("Origin", origin)])
            assert (refused.value.status, refused.value.body["code"]) == (403, "forbidden")
    finally:
        assert server.stop() == 0


LONG = b'{"type":"ping","id":"' + b"x" * 200 + b'"}'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(3, b""), 1002),
        (frame(TEXT | 0x40, b"{}"), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, b"\x03\xe7"), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xe4\xb8", fin=False) + frame(CONTINUATION, b""), 1007),
        (frame(BINARY, b"\x00"), 1003),
        (frame(TEXT, b"x" * 600_000), 1009),
        (b"".join(frame(TEXT if not n else CONTINUATION, b"x" * 60_000, fin=False) for n in range(10)), 1009),
        (b"".join(frame(PING, b"") for _ in range(3000)), 1008),
        (b"".join(frame(TEXT, LONG) for _ in range(3000)), 1008),
        (b"".join(frame(TEXT if not n else CONTINUATION, b"", fin=False) for n in range(3000)), 1008),
        (frame(CLOSE, b"\x03\xe8"), 1000),
        (frame(CLOSE, b""), 1005),
    ],
    ids=[
        "unmasked", "unknown opcode", "reserved bit", "continuation of nothing", "message in a message",
        "fragmented ping", "long ping", "close of one byte", "forbidden close code", "bad UTF-8", "half a character",
        "binary", "oversized", "oversized in fragments", "flood of pings", "flood of messages",
        "flood of fragments", "close", "close without a code",
    ],
)  # fmt: skip
def test_hostile_frames_end_in_the_right_close_code(server: ServerProcess, data: bytes, code: int):
    """And nothing of them reaches the log."""
    with server.no_traceback(), WebSocketClient(server.url) as client:
        client.send("start", request=question("0", "quick"))
        client.receive()
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may close before it has read all of it
            client.send_raw(data)
        assert client.read_close() == code


def test_a_fragmented_message_is_joined(server: ServerProcess):
    """Also inside a character, with a ping in between."""
    body = '{"type":"ping","id":"你好"}'.encode()
    with WebSocketClient(server.url) as client:
        client.send_raw(frame(TEXT, body[:22], fin=False) + frame(PING, b"p") + frame(CONTINUATION, body[22:]))
        assert client.receive() == {"id": "你好", "type": "pong"}
        assert client.pongs == [b"p"]


def test_a_client_that_sends_one_byte_at_a_time_is_served(server: ServerProcess):
    """A frame may arrive in any pieces."""
    with WebSocketClient(server.url) as client:
        for byte in frame(TEXT, b'{"type":"ping"}'):
            client.send_raw(bytes([byte]))
        assert client.receive() == {"type": "pong"}


def test_a_run_is_cancelled_when_its_last_connection_is_gone():
    """After the grace period, as for Server-Sent Events; a client that only leaves sends no close frame."""
    server = serve("tests.backends_for_tests:slow", disconnect_grace=0.5)
    try:
        client = WebSocketClient(server.url)
        client.send("start", request={"message": "60"})
        run_id = client.receive()["run_id"]
        client.socket.close()
        wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["status"] == "cancelled")
        assert scrape(server)("open_streams") == 0
    finally:
        assert server.stop() == 0


def test_a_client_that_reads_nothing_is_not_read_either(server: ServerProcess):
    """Its messages wait in its own buffers: neither answers nor messages fill the memory of the server."""
    with server.no_traceback(), WebSocketClient(server.url) as client:
        client.socket.settimeout(1.0)
        message = frame(TEXT, json.dumps({"type": "start", "request": question("x" * 30_000, "echo")}).encode())
        sent = 0
        with suppress(TimeoutError):
            while sent < 2**26:
                sent += client.socket.send(message)
        assert sent < 2**26
    wait_for(lambda: scrape(server)("open_streams") == 0)


def test_the_limits_are_those_of_requests():
    """Rate limits and places, with the seconds to wait."""
    server = serve("tests.backends_for_tests:slow", rate_limit="3/minute", max_runs_per_user=2, max_queue=0)
    try:
        with WebSocketClient(server.url) as client:
            for number in range(4):
                client.send("start", id=number, request={"message": "2"})
            refused = []
            while len(refused) < 2:
                message = client.receive()
                refused += [message] if message["success"] is False else []
            assert [(each["id"], each["code"]) for each in refused] == [(2, "busy"), (3, "rate_limited")]
            assert all(each["retry_after"] >= 1 for each in refused)
            assert server.post("/api/stream_chat_smart", {"message": "0"}).status_code == 429
    finally:
        assert server.stop() == 0


def test_a_draining_server_finishes_the_runs_and_closes():
    """New runs are refused, and then the code is 1001; a connection without a run is closed at once."""
    server = serve("tests.backends_for_tests:slow")
    with WebSocketClient(server.url) as client, WebSocketClient(server.url) as idle:
        client.send("start", id=1, request={"message": "3"})
        got = [client.receive()]
        server.process.terminate()
        server.wait_for_log("shutting down")
        client.send("start", id=2, request={"message": "0"})
        got += client.receive_until(lambda message: message["id"] == 2)
        refused = got.pop()
        assert refused["code"] == "draining"
        got += client.receive_run()
        assert text(got) == ENGLISH + CHINESE
        assert client.read_close() == 1001
        assert idle.read_close() == 1001
    assert server.process.wait(20) == 0
    server.stop()


@pytest.mark.heavy
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_cannot_open_websockets_names_the_remedy(kind: str):
    """With 501; everything else works there."""
    with running(*SERVERS[kind]) as (url, _):
        headers = {**UPGRADE, "Authorization": f"Bearer {token()}"}
        refused = requests.get(f"{url}/api/ws", headers=headers, timeout=30)
        assert refused.status_code == 501
        assert "persona-stream serve" in refused.json()["error"]
