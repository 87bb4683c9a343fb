"""Extension points, proven from outside: a protocol, a transport and an executor take one registration each.

As a program, this module runs a server with all three: ``python -m gevent.monkey --module tests.test_extending PORT``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import gevent
import pytest
import requests
from flask import Blueprint, Response, current_app

from persona_stream import create_app
from persona_stream.backends.base import Backend
from persona_stream.core.events import Completed, Event, RunFailed, TextChunk
from persona_stream.core.facts import Answered, Entry
from persona_stream.core.projection import SMART
from persona_stream.core.query import Query
from persona_stream.core.result import capture
from persona_stream.core.sse import ServerSentEvent
from persona_stream.executors.base import Executor, TaskCallbacks
from persona_stream.executors.registry import register_executor
from persona_stream.protocols import registry
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, EventEncoder, WireProtocol
from persona_stream.server.wsgi import Server
from persona_stream.settings.schema import Settings
from persona_stream.web import negotiation
from persona_stream.web.delivery import blocking_response, stream_response
from persona_stream.web.negotiation import Transport, negotiate_transport
from persona_stream.web.responses import current_request
from persona_stream.web.run_requests import build_run_request
from persona_stream.web.services import EXTENSION
from tests.http.test_other_servers import running
from tests.server_process import SECRET, token

HEADERS = {"Authorization": f"Bearer {token()}"}
BODY = {"username": "bot", "message": "hello", "locale": "en"}
NDJSON = "application/x-ndjson"


class ShoutingProtocol(WireProtocol):
    """Protocol whose messages are plain text in capitals, with the kind of the event as their name."""

    name = "shout"
    path_prefixes = ("/shout",)
    run_endpoints = ("/shout", "/shout/stream")
    request_id_header = "x-shout-id"

    def encoder(self, entries: Sequence[Entry], options: EncoderOptions) -> EventEncoder:
        return ShoutingEncoder()

    def response(self, entries: Sequence[Entry]) -> tuple[int, object]:
        ending = entries[-1].fact
        assert isinstance(ending, Answered)
        return 200, {"SHOUT": ending.text.upper()}

    def error(self, error: ErrorInfo) -> object:
        return {"ERROR": error.message.upper()}


class ShoutingEncoder:
    """Encoder of the shouting protocol: text and the ending, no progress."""

    def encode(self, event: Event) -> Sequence[ServerSentEvent]:
        match event:
            case TextChunk(text=text):
                return (ServerSentEvent(text.upper().encode(), event="text"),)
            case Completed() | RunFailed():
                return (ServerSentEvent(b"THE END", event="end"),)
            case _:
                return ()


def shouting_routes() -> Blueprint:
    """Return the routes of the shouting protocol, with the body of the native one."""
    blueprint = Blueprint("shout", __name__)
    protocol = registry.PROTOCOLS["shout"]

    @blueprint.post("/shout")
    def shout() -> Response:
        request = current_request()
        services = current_app.extensions[EXTENSION]
        journal = services.runs.start(build_run_request(request, services, SMART, grace=0.0))
        return blocking_response(request, services, journal, protocol)

    @blueprint.post("/shout/stream")
    def stream() -> Response:
        request = current_request()
        services = current_app.extensions[EXTENSION]
        transport = negotiate_transport(request)
        journal = services.runs.start(build_run_request(request, services, SMART, grace=0.0))
        return stream_response(request, services, journal, protocol=protocol, transport=transport)

    return blueprint


class NDJSONTransport(Transport):
    """Newline-delimited JSON: one message a line, no comments."""

    media_type = NDJSON
    content_type = NDJSON

    def frame(self, message: ServerSentEvent) -> bytes:
        return message.data + b"\n" if message.data else b""


class PoliteExecutor(Executor):
    """Executor that calls the backend in a greenlet and adds a word to its answer."""

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> PoliteTask:
        callbacks.on_started()
        return PoliteTask(gevent.spawn(self._run, backend, query, callbacks))

    def _run(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> None:
        try:
            callbacks.on_result(capture(lambda: f"{backend.process_query(query)}, please"))
        finally:
            callbacks.on_released()


class PoliteTask:
    """Task of the executor of this module."""

    def __init__(self, greenlet: gevent.Greenlet) -> None:
        self._greenlet = greenlet

    def cancel(self) -> bool:
        self._greenlet.kill(block=False)
        return True


def serve(port: int) -> None:
    """Run a server with the extensions of this module."""
    registry.register(ShoutingProtocol())
    negotiation.register(NDJSONTransport())
    register_executor("polite", lambda settings, personas: PoliteExecutor())
    settings = Settings(jwt_secret=SECRET, database_url=None, executor="polite")
    app = create_app(settings, process_query=lambda message: f"You said: {message}")
    app.register_blueprint(shouting_routes())
    Server(("127.0.0.1", port), app).serve_forever()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """URL of a server with all three extensions."""
    with running("-m", "gevent.monkey", "--module", "tests.test_extending", "PORT") as (url, _):
        yield url


def post(url: str, **headers: str) -> requests.Response:
    return requests.post(url, json=BODY, headers={**HEADERS, **headers}, timeout=20)


def test_a_registered_protocol_streams_and_responds(url: str) -> None:
    """Its messages are framed as Server-Sent Events; its whole response is JSON."""
    streamed = post(f"{url}/shout/stream")
    assert streamed.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert streamed.text == "event: text\ndata: YOU SAID: HELLO, PLEASE\n\nevent: end\ndata: THE END\n\n"
    assert post(f"{url}/shout").json() == {"SHOUT": "YOU SAID: HELLO, PLEASE"}


def test_a_registered_protocol_has_its_errors_and_request_ids(url: str) -> None:
    """On every path below its prefix, also on one without a route."""
    missing = post(f"{url}/shout/nowhere")
    assert (missing.status_code, missing.json()) == (404, {"ERROR": "NOT FOUND"})
    assert missing.headers["x-shout-id"].startswith("req_")
    assert "x-shout-id" in missing.headers["Access-Control-Expose-Headers"]


def test_a_registered_protocol_resumes_runs_of_other_protocols(url: str) -> None:
    """And its runs are resumed in theirs."""
    native = post(f"{url}/api/stream_chat")
    resumed = requests.get(url + native.headers["Location"] + "?protocol=shout", headers=HEADERS, timeout=20)
    assert resumed.text == "event: text\ndata: YOU SAID: HELLO, PLEASE\n\nevent: end\ndata: THE END\n\n"
    own = post(f"{url}/shout/stream")
    resumed = requests.get(url + own.headers["Location"] + "?protocol=openai", headers=HEADERS, timeout=20)
    assert resumed.text.endswith("data: [DONE]\n\n")


def test_a_registered_transport_frames_every_protocol(url: str) -> None:
    """The client selects it in Accept; without it, the stream is Server-Sent Events."""
    native = post(f"{url}/api/stream_chat_smart", Accept=NDJSON)
    assert native.headers["Content-Type"] == NDJSON
    events = [json.loads(line) for line in native.text.splitlines()]
    assert "".join(event["data"] for event in events) == "You said: hello, please"
    assert [events[0]["status"], events[-1]["status"]] == ["initializing", "complete"]
    assert post(f"{url}/shout/stream", Accept=NDJSON).text == "YOU SAID: HELLO, PLEASE\nTHE END\n"
    assert post(f"{url}/api/stream_chat").text.startswith("id: ")


def test_a_registered_transport_frames_errors(url: str) -> None:
    """One message, so that a client needs one parser only."""
    response = requests.post(f"{url}/api/stream_chat", json={}, headers={**HEADERS, "Accept": NDJSON}, timeout=20)
    assert (response.status_code, response.headers["Content-Type"]) == (400, NDJSON)
    assert json.loads(response.text)["code"] == "invalid_request"
    refused = requests.post(f"{url}/api/stream_chat", json=BODY, headers={**HEADERS, "Accept": "text/csv"}, timeout=20)
    assert (refused.status_code, "or application/x-ndjson" in refused.text) == (406, True)


def test_a_registered_executor_runs_the_queries(url: str) -> None:
    """The setting `executor` selects it by name."""
    assert post(f"{url}/api/chat").json()["data"] == "You said: hello, please"


@pytest.mark.parametrize("changes", [{"name": "native"}, {"path_prefixes": ("/v1/messages",)}])
def test_a_protocol_whose_name_or_path_is_taken_is_rejected(changes: dict[str, object]) -> None:
    """At registration."""
    protocol = type("Impostor", (ShoutingProtocol,), changes)()
    with pytest.raises(ValueError, match="is taken"):
        registry.register(protocol)


def test_a_transport_whose_media_type_is_taken_is_rejected() -> None:
    """At registration."""
    with pytest.raises(ValueError, match="already has a transport"):
        negotiation.register(negotiation.EVENT_STREAM)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
