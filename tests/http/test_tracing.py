"""Traces of a running server: from the client's header through the provider's to a collector."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.backends.fake_provider import completion, provider
from tests.backends.fake_provider import http as reply
from tests.ports import free_port
from tests.server_process import SECRET, ServerProcess
from tests.sse_client import read

SMART = "/api/stream_chat_smart"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEY = "sk-0123456789abcdef"


class Collector:
    """Collector of OTLP over HTTP."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> list[Any]:
        """The received spans."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def services(self) -> set[str]:
        """The names of the services that sent them."""
        return {
            attribute.value.string_value
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.paths.append(self.path)
            taken.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join(5)


def serve(environ: Mapping[str, str], **settings: object) -> ServerProcess:
    """Start a server with environment variables."""
    flags = {"backend": "tests.backends_for_tests:quick", "jwt_secret": SECRET, **settings}
    return ServerProcess([f"--{name.replace('_', '-')}={value}" for name, value in flags.items()], environ)


# The spans that are still queued are sent at the end.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}


@pytest.mark.parametrize("executor", ["greenlet", "thread"])
def test_one_trace_from_the_callers_header_to_the_providers(executor: str):
    """Each attempt carries it, SIGTERM flushes the last spans, and no span has a text or a key."""
    replies = reply(503, "busy"), reply(200, completion("Forty-two."))
    with collector() as taken, provider(*replies) as behind:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": taken.endpoint, **LATE}
        openai = {"openai_base_url": behind.base_url, "openai_model": "m1", "openai_api_key": KEY}
        served = serve(environ, backend="openai", executor=executor, **openai)
        try:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            got = read(served.post(SMART, {"username": "lovelace", "message": "How many?"}, headers=headers))
            assert got[-1].data["status"] == "complete"
        finally:
            assert served.stop() == 0
    assert sorted(span.name for span in taken.spans) == [
        "chat m1", "chat m1", "persona_stream.processing", "persona_stream.reading", "persona_stream.run",
        "persona_stream.waiting",
    ]  # fmt: skip
    [run] = [span for span in taken.spans if span.name == "persona_stream.run"]
    assert run.parent_span_id.hex() == CALLER
    assert {span.parent_span_id for span in taken.spans} - {run.parent_span_id} == {run.span_id}
    assert {span.trace_id.hex() for span in taken.spans} == {TRACE}
    sent = [request.headers["traceparent"] for request in behind.requests]
    assert sent == [f"00-{TRACE}-{run.span_id.hex()}-01"] * 2
    attributes = {each.key: each.value for each in run.attributes}
    assert attributes["persona_stream.run_id"].string_value == got[0].data["run_id"]
    assert taken.services == {"persona_stream"}
    assert set(taken.paths) == {"/v1/traces"}
    assert served.log.count("\n") == 2  # the try that failed, and the run
    written = str(taken.requests)
    assert not [text for text in ("How many?", "Forty-two", KEY, "alice", "lovelace") if text in written]


def test_a_backends_own_spans_belong_to_the_run():
    """The run's span is OpenTelemetry's current span."""
    with collector() as taken:
        served = serve(
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{taken.endpoint}/here", "OTEL_SERVICE_NAME": "my bot"},
            backend="tests.tracing_backend:ask",
        )
        try:
            read(served.post(SMART, {"username": "ada", "message": "Hi"}))
        finally:
            assert served.stop() == 0
    spans = {span.name: span for span in taken.spans}
    assert spans["look it up"].parent_span_id == spans["persona_stream.run"].span_id
    assert spans["look it up"].trace_id == spans["persona_stream.run"].trace_id
    assert taken.services == {"my bot"}
    assert set(taken.paths) == {"/here"}


@pytest.mark.parametrize("more", [{"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}, LATE])
def test_a_collector_outage_delays_nothing(more: Mapping[str, str]):
    """Neither streams nor the shutdown; one line is logged for each lost batch."""
    served = serve({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", **more})
    try:
        for _ in range(5):
            assert read(served.post(SMART, {"username": "x", "message": "Hi"}))[-1].data["status"] == "complete"
        if more is not LATE:
            served.wait_for_log("Failed to export spans")
        assert "blocked" not in served.log
    finally:
        stopped_at = time.monotonic()
        assert served.stop() == 0
    assert time.monotonic() - stopped_at < 8
    assert "Traceback" not in served.log


def test_without_the_library_a_line_says_what_to_install(tmp_path: Path):
    """The server runs without traces."""
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')")
    served = serve({"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(tmp_path)})
    try:
        assert read(served.post(SMART, {"username": "x", "message": "Hi"}))[-1].data["status"] == "complete"
    finally:
        assert served.stop() == 0
    assert "pip install 'opentelemetry" in served.log


def test_without_configuration_there_are_no_traces():
    """Requests to the provider have no header, even if the client sent one."""
    with provider(reply(200, completion("Forty-two."))) as behind:
        served = serve({}, backend="openai", openai_base_url=behind.base_url, openai_model="m1")
        try:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            read(served.post(SMART, {"username": "lovelace", "message": "How many?"}, headers=headers))
        finally:
            assert served.stop() == 0
    assert "traceparent" not in behind.requests[0].headers
