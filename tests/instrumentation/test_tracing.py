"""Spans of runs."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from persona_stream.backends.base import Backend
from persona_stream.core.facts import AnswerDelta, Answered, Fact, Failed, Started
from persona_stream.core.query import Query, UpstreamCall, Usage
from persona_stream.core.run_id import timestamp_of
from persona_stream.instrumentation.tracing import TracingObserver
from persona_stream.logging import trace_headers
from persona_stream.runs import base
from tests.fakes import RUN_ID, accepted, entries

BEGAN = timestamp_of(RUN_ID)
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = (("Traceparent", f"00-{TRACE}-{CALLER}-01"),)


class Scenario:
    """Observer with an in-memory exporter, driven by facts and notifications."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = TracingObserver(self.provider)
        self.context = contextvars.copy_context()

    def start(self, *headers: tuple[str, str], run_id: str = RUN_ID) -> None:
        """Start a run in the context of the scenario."""
        query = Query(username="lovelace", message="a question", conversation_id="c-1")
        origin = base.RequestInfo(endpoint="/api/chat", headers=headers, body=b"a question")
        order = base.RunRequest(query, Backend("careful", lambda query: ""), "smart", "words", request_info=origin)
        self.context.run(self.observer.on_notification, run_id, base.RunStarted(order))

    def record(self, *happened: tuple[float, Fact]) -> None:
        """Pass each entry of a journal to the observer; times count from the start of the run."""
        journal = entries(*((BEGAN + at, fact) for at, fact in happened))
        for count in range(1, len(journal) + 1):
            self.observer.on_fact(journal[:count])

    def notify(self, note: base.Notification) -> None:
        """Pass a notification to the observer."""
        self.observer.on_notification(RUN_ID, note)

    @property
    def spans(self) -> Mapping[str, Any]:
        """The ended spans by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def scenario() -> Iterator[Scenario]:
    scenario = Scenario()
    yield scenario
    scenario.provider.shutdown()


def seconds(span: Any) -> tuple[float, float]:
    """Return the start and end of a span, relative to the start of the run."""
    return round(span.start_time / 1e9 - BEGAN, 3), round(span.end_time / 1e9 - BEGAN, 3)


def provider_call(**more: object) -> base.UpstreamCalled:
    """Create a call to a provider."""
    fields = {
        "provider": "openai",
        "model": "m1",
        "url": "https://provider.example/v1/chat/completions",
        "request": {"messages": "a question"},
        "began_at": BEGAN + 1.0,
        "seconds": 2.0,
    }
    return base.UpstreamCalled(UpstreamCall(**{**fields, **more}))


def subscription(**more: object) -> base.SubscriptionClosed:
    """Create a closed subscription from the start of the run."""
    fields = {
        "protocol": "native",
        "resumed": False,
        "began_at": BEGAN,
        "first_event_at": BEGAN + 0.1,
        "first_text_at": BEGAN + 3.5,
        "last_at": BEGAN + 4.0,
        "events": 7,
        "chunks": 3,
        "sent_bytes": 700,
        "is_whole": True,
    }
    return base.SubscriptionClosed(**{**fields, **more})


ANSWERED = Answered("an answer", Usage(input_tokens=7, output_tokens=9))


def test_a_run_is_one_trace_with_its_stages(scenario: Scenario):
    """From acceptance to end; subscriptions may close later."""
    scenario.start()
    scenario.record((0.0, accepted()), (0.5, Started()), (2.0, AnswerDelta("a part")), (3.0, ANSWERED))
    scenario.notify(provider_call())
    scenario.notify(subscription())
    run = scenario.spans["persona_stream.run"]
    assert {name: seconds(span) for name, span in scenario.spans.items()} == {
        "persona_stream.run": (0.0, 3.0),
        "persona_stream.waiting": (0.0, 0.5),
        "persona_stream.processing": (0.5, 3.0),
        "chat m1": (1.0, 3.0),
        "persona_stream.reading": (0.0, 4.0),
    }
    assert {span.context.trace_id for span in scenario.spans.values()} == {run.context.trace_id}
    parents = {name: span.parent and span.parent.span_id for name, span in scenario.spans.items()}
    assert parents.pop("persona_stream.run") is None
    assert set(parents.values()) == {run.context.span_id}


def test_attributes_follow_the_genai_conventions(scenario: Scenario):
    """Other attributes have the prefix persona_stream."""
    scenario.start()
    scenario.notify(provider_call())
    scenario.record((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    scenario.notify(subscription())
    assert dict(scenario.spans["persona_stream.run"].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "c-1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.response.finish_reasons": ("stop",),
        "http.route": "/api/chat",
        "persona_stream.run_id": RUN_ID,
        "persona_stream.backend": "careful",
        "persona_stream.dialect": "native",
        "persona_stream.style": "smart",
        "persona_stream.status": "complete",
        "persona_stream.usage_estimated": False,
    }
    upstream = scenario.spans["chat m1"]
    assert upstream.kind is SpanKind.CLIENT
    assert dict(upstream.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m1",
        "server.address": "provider.example",
        "server.port": 443,
    }
    read = scenario.spans["persona_stream.reading"]
    assert [event.name for event in read.events] == ["first event", "first text"]
    assert dict(read.attributes)["persona_stream.events"] == 7


@pytest.mark.parametrize("code", ["timeout", "backend_error", "lost"])
def test_a_failure_has_its_kind_without_its_text(scenario: Scenario, code: str):
    """For the run, and for the failed attempt."""
    scenario.start()
    scenario.notify(provider_call(status="busy", error="HTTP 429: a detail"))
    scenario.record((0.0, accepted()), (0.5, Started()), (3.0, Failed(code, "a detail")))
    for name, kind in (("persona_stream.run", code), ("chat m1", "busy")):
        span = scenario.spans[name]
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, kind)
        assert span.attributes["error.type"] == kind
    assert not [span for span in scenario.spans.values() if "detail" in span.to_json()]


def test_a_cancelled_run_is_no_failure(scenario: Scenario):
    """The status stays unset."""
    scenario.start()
    scenario.record((0.0, accepted()), (0.5, Started()), (3.0, Failed("cancelled")))
    run = scenario.spans["persona_stream.run"]
    assert run.status.status_code is StatusCode.UNSET
    assert run.attributes["persona_stream.status"] == "cancelled"


def test_no_span_has_texts_or_names_of_users(scenario: Scenario):
    """No question, answer, user or persona."""
    scenario.start(("Authorization", "***"), *PARENT)
    scenario.notify(provider_call(response={"text": "an answer"}))
    scenario.record((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    scenario.notify(subscription())
    written = "".join(span.to_json() for span in scenario.spans.values())
    assert not [text for text in ("a question", "an answer", "alice", "lovelace", "Vitalik", "***") if text in written]


def test_a_run_belongs_to_the_trace_of_its_request(scenario: Scenario):
    """The client's span is its parent."""
    scenario.start(*PARENT)
    scenario.record((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    run = scenario.spans["persona_stream.run"]
    assert f"{run.context.trace_id:032x}" == TRACE
    assert f"{run.parent.span_id:016x}" == CALLER
    assert run.kind is SpanKind.SERVER


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-00", f"ff-{TRACE}-{CALLER}-01"])
def test_an_invalid_traceparent_starts_a_new_trace(scenario: Scenario, header: str):
    """Headers are untrusted input."""
    scenario.start(("traceparent", header))
    scenario.record((0.0, accepted()), (3.0, ANSWERED))
    assert scenario.spans["persona_stream.run"].parent is None


HEX = st.text("0123456789abcdefABCDEFg", max_size=34)


@given(st.text(max_size=60) | st.tuples(HEX, HEX, HEX, HEX).map("-".join), st.text(max_size=60))
def test_no_header_breaks_a_trace(header: str, state: str):
    """The run has one trace: the one of a valid header, or its own."""
    scenario = Scenario()
    scenario.start(("traceparent", header), ("tracestate", state))
    scenario.record((0.0, accepted()), (3.0, ANSWERED))
    run = scenario.spans["persona_stream.run"]
    scenario.provider.shutdown()
    assert run.context.is_valid
    if run.parent is not None:
        assert f"-{run.parent.trace_id:032x}-{run.parent.span_id:016x}-" in header
        assert run.context.trace_id == run.parent.trace_id


def test_a_span_around_the_request_is_the_parent(scenario: Scenario):
    """The library that traces the application has read the header already."""
    around = scenario.provider.get_tracer("flask").start_span("POST /api/chat")
    scenario.context.run(context.attach, trace.set_span_in_context(around))
    scenario.start(*PARENT)
    scenario.record((0.0, accepted()), (3.0, ANSWERED))
    run = scenario.spans["persona_stream.run"]
    assert run.parent.span_id == around.get_span_context().span_id
    assert run.kind is SpanKind.INTERNAL


def test_requests_of_the_task_carry_the_trace(scenario: Scenario):
    """Spans of the backend belong to the run; other contexts are not affected."""
    scenario.start(*PARENT)
    sent = scenario.context.run(trace_headers.get)
    current = scenario.context.run(trace.get_current_span).get_span_context()
    assert sent == {"traceparent": f"00-{TRACE}-{current.span_id:016x}-01"}
    assert dict(trace_headers.get()) == {}
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_unknown_run_is_ignored(scenario: Scenario):
    """It started in another process, or long ago."""
    scenario.record((0.0, accepted()), (3.0, ANSWERED))
    scenario.notify(provider_call())
    scenario.notify(subscription())
    assert scenario.spans == {}


def test_only_the_latest_runs_are_remembered(scenario: Scenario):
    """Their subscriptions may still close or resume."""
    scenario.start()
    scenario.record((0.0, accepted()), (3.0, ANSWERED))
    for number in range(1000):
        run_id = f"other-{number}"
        scenario.start(run_id=run_id)
        terms = msgspec.structs.replace(accepted(), run_id=run_id)
        scenario.observer.on_fact(entries((BEGAN, terms), (BEGAN + 1, ANSWERED)))
    scenario.exporter.clear()
    scenario.notify(subscription())
    assert scenario.spans == {}
    scenario.observer.on_notification("other-999", subscription())
    assert list(scenario.spans) == ["persona_stream.reading"]
