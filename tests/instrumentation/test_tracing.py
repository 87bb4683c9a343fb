"""Runs on paper, and their spans."""

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
from persona_stream.core.facts import Answered, Fact, Failed, Started, TextDelta
from persona_stream.core.query import Query, UpstreamCall, Usage
from persona_stream.core.run_id import timestamp_of
from persona_stream.instrumentation.tracing import TracingObserver
from persona_stream.logging import trace_headers
from persona_stream.runs.observer import Notification, RunStarted, SubscriptionClosed, UpstreamCalled
from persona_stream.runs.request import RequestInfo, RunRequest
from tests.fakes import RUN_ID, accepted, entries

BEGAN = timestamp_of(RUN_ID)
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = (("Traceparent", f"00-{TRACE}-{CALLER}-01"),)


class Paper:
    """Let runs happen on paper, and keep their spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = TracingObserver(self.provider)
        self.context = contextvars.copy_context()

    def begin(self, *headers: tuple[str, str], run_id: str = RUN_ID) -> None:
        """Accept a run, in a context of its own."""
        query = Query(username="lovelace", message="a question", conversation_id="c-1")
        origin = RequestInfo(endpoint="/api/chat", headers=headers, body=b"a question")
        order = RunRequest(query, Backend("careful", lambda query: ""), "smart", "words", request_info=origin)
        self.context.run(self.observer.on_notification, run_id, RunStarted(order))

    def happen(self, *happened: tuple[float, Fact]) -> None:
        """Write a journal, whose moments count from the run's beginning, and tell of each entry."""
        journal = entries(*((BEGAN + at, fact) for at, fact in happened))
        for count in range(1, len(journal) + 1):
            self.observer.on_fact(journal[:count])

    def note(self, note: Notification) -> None:
        """Tell of what happens around the run."""
        self.observer.on_notification(RUN_ID, note)

    @property
    def spans(self) -> Mapping[str, Any]:
        """Give those that have ended, by their names."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def paper() -> Iterator[Paper]:
    paper = Paper()
    yield paper
    paper.provider.shutdown()


def seconds(span: Any) -> tuple[float, float]:
    """Give when a span began and ended, after the run's beginning."""
    return round(span.start_time / 1e9 - BEGAN, 3), round(span.end_time / 1e9 - BEGAN, 3)


def asked(**more: object) -> UpstreamCalled:
    """Give a try at a provider."""
    fields = {
        "provider": "openai",
        "model": "m1",
        "url": "https://provider.example/v1/chat/completions",
        "request": {"messages": "a question"},
        "began_at": BEGAN + 1.0,
        "seconds": 2.0,
    }
    return UpstreamCalled(UpstreamCall(**{**fields, **more}))


def reading(**more: object) -> SubscriptionClosed:
    """Give a reader that was there from the beginning."""
    fields = {
        "dialect": "native",
        "resumed": False,
        "began_at": BEGAN,
        "first_event_at": BEGAN + 0.1,
        "first_text_at": BEGAN + 3.5,
        "last_at": BEGAN + 4.0,
        "events": 7,
        "pieces": 3,
        "sent_bytes": 700,
        "is_whole": True,
    }
    return SubscriptionClosed(**{**fields, **more})


ANSWERED = Answered("an answer", Usage(input_tokens=7, output_tokens=9))


def test_a_run_is_one_trace_with_its_stages(paper: Paper):
    """From when it was accepted to its ending; readers may leave later."""
    paper.begin()
    paper.happen((0.0, accepted()), (0.5, Started()), (2.0, TextDelta("a part")), (3.0, ANSWERED))
    paper.note(asked())
    paper.note(reading())
    run = paper.spans["persona_stream.run"]
    assert {name: seconds(span) for name, span in paper.spans.items()} == {
        "persona_stream.run": (0.0, 3.0),
        "persona_stream.waiting": (0.0, 0.5),
        "persona_stream.processing": (0.5, 3.0),
        "chat m1": (1.0, 3.0),
        "persona_stream.reading": (0.0, 4.0),
    }
    assert {span.context.trace_id for span in paper.spans.values()} == {run.context.trace_id}
    parents = {name: span.parent and span.parent.span_id for name, span in paper.spans.items()}
    assert parents.pop("persona_stream.run") is None
    assert set(parents.values()) == {run.context.span_id}


def test_a_span_says_what_the_conventions_have_words_for(paper: Paper):
    """And our own words for the rest."""
    paper.begin()
    paper.note(asked())
    paper.happen((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    paper.note(reading())
    assert dict(paper.spans["persona_stream.run"].attributes) == {
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
    upstream = paper.spans["chat m1"]
    assert upstream.kind is SpanKind.CLIENT
    assert dict(upstream.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m1",
        "server.address": "provider.example",
        "server.port": 443,
    }
    read = paper.spans["persona_stream.reading"]
    assert [event.name for event in read.events] == ["first event", "first text"]
    assert dict(read.attributes)["persona_stream.events"] == 7


@pytest.mark.parametrize("code", ["timeout", "backend_error", "lost"])
def test_a_failure_is_one_and_its_text_stays_here(paper: Paper, code: str):
    """Of the run, and of the try that failed."""
    paper.begin()
    paper.note(asked(status="busy", error="HTTP 429: a detail"))
    paper.happen((0.0, accepted()), (0.5, Started()), (3.0, Failed(code, "a detail")))
    for name, kind in (("persona_stream.run", code), ("chat m1", "busy")):
        span = paper.spans[name]
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, kind)
        assert span.attributes["error.type"] == kind
    assert not [span for span in paper.spans.values() if "detail" in span.to_json()]


def test_cancelling_is_no_failure(paper: Paper):
    """Somebody wanted it."""
    paper.begin()
    paper.happen((0.0, accepted()), (0.5, Started()), (3.0, Failed("cancelled")))
    run = paper.spans["persona_stream.run"]
    assert run.status.status_code is StatusCode.UNSET
    assert run.attributes["persona_stream.status"] == "cancelled"


def test_no_span_has_a_text_or_a_name_of_the_callers(paper: Paper):
    """Neither what was asked nor what was answered, nor who asked whom."""
    paper.begin(("Authorization", "***"), *PARENT)
    paper.note(asked(response={"text": "an answer"}))
    paper.happen((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    paper.note(reading())
    written = "".join(span.to_json() for span in paper.spans.values())
    assert not [text for text in ("a question", "an answer", "alice", "lovelace", "Vitalik", "***") if text in written]


def test_a_run_belongs_to_the_trace_of_its_request(paper: Paper):
    """The caller's span is its parent."""
    paper.begin(*PARENT)
    paper.happen((0.0, accepted()), (0.5, Started()), (3.0, ANSWERED))
    run = paper.spans["persona_stream.run"]
    assert f"{run.context.trace_id:032x}" == TRACE
    assert f"{run.parent.span_id:016x}" == CALLER
    assert run.kind is SpanKind.SERVER


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-00", f"ff-{TRACE}-{CALLER}-01"])
def test_a_traceparent_that_is_none_begins_a_trace(paper: Paper, header: str):
    """Strangers may send what they like."""
    paper.begin(("traceparent", header))
    paper.happen((0.0, accepted()), (3.0, ANSWERED))
    assert paper.spans["persona_stream.run"].parent is None


HEX = st.text("0123456789abcdefABCDEFg", max_size=34)


@given(st.text(max_size=60) | st.tuples(HEX, HEX, HEX, HEX).map("-".join), st.text(max_size=60))
def test_no_headers_of_strangers_break_a_trace(header: str, state: str):
    """Whatever they say, the run has one trace, which is that of a caller who says one, or its own."""
    paper = Paper()
    paper.begin(("traceparent", header), ("tracestate", state))
    paper.happen((0.0, accepted()), (3.0, ANSWERED))
    run = paper.spans["persona_stream.run"]
    paper.provider.shutdown()
    assert run.context.is_valid
    if run.parent is not None:
        assert f"-{run.parent.trace_id:032x}-{run.parent.span_id:016x}-" in header
        assert run.context.trace_id == run.parent.trace_id


def test_a_span_around_the_request_is_the_parent(paper: Paper):
    """Of whoever traces the application, who has read the header already."""
    around = paper.provider.get_tracer("flask").start_span("POST /api/chat")
    paper.context.run(context.attach, trace.set_span_in_context(around))
    paper.begin(*PARENT)
    paper.happen((0.0, accepted()), (3.0, ANSWERED))
    run = paper.spans["persona_stream.run"]
    assert run.parent.span_id == around.get_span_context().span_id
    assert run.kind is SpanKind.INTERNAL


def test_what_the_work_asks_for_carries_the_trace(paper: Paper):
    """And spans that its own code makes belong to the run; outside of it there is nothing of that."""
    paper.begin(*PARENT)
    sent = paper.context.run(trace_headers.get)
    current = paper.context.run(trace.get_current_span).get_span_context()
    assert sent == {"traceparent": f"00-{TRACE}-{current.span_id:016x}-01"}
    assert dict(trace_headers.get()) == {}
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_is_told_of_an_unknown_run_is_left_be(paper: Paper):
    """One that began elsewhere, or long ago."""
    paper.happen((0.0, accepted()), (3.0, ANSWERED))
    paper.note(asked())
    paper.note(reading())
    assert paper.spans == {}


def test_only_the_latest_runs_are_remembered(paper: Paper):
    """For readers that are still there, or come back."""
    paper.begin()
    paper.happen((0.0, accepted()), (3.0, ANSWERED))
    for number in range(1000):
        run_id = f"other-{number}"
        paper.begin(run_id=run_id)
        terms = msgspec.structs.replace(accepted(), run_id=run_id)
        paper.observer.on_fact(entries((BEGAN, terms), (BEGAN + 1, ANSWERED)))
    paper.exporter.clear()
    paper.note(reading())
    assert paper.spans == {}
    paper.observer.on_notification("other-999", reading())
    assert list(paper.spans) == ["persona_stream.reading"]
