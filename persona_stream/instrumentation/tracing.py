"""Turn what happens to a run, and around it, into the spans of one trace.

Where spans go: what somebody has set up already, else in batches to where the environment says.

Batches are sent by a thread of their own, which gevent has made a greenlet: a collector that is away holds nobody up,
and at the end of the process no longer than a moment.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from persona_stream import __version__
from persona_stream.core.facts import Answered, Entry, Failed, Started, run_terms
from persona_stream.core.query import UpstreamCall
from persona_stream.core.run_id import timestamp_of
from persona_stream.core.snapshot import final_status
from persona_stream.core.usage import run_usage
from persona_stream.logging import trace_headers
from persona_stream.runs.observer import Notification, RunStarted, SubscriptionClosed, UpstreamCalled
from persona_stream.runs.request import RunRequest

# A run's readers may leave long after it has ended, and others come back to it.
_REMEMBERED = 1000

_CHAT: Mapping[str, AttributeValue] = {"gen_ai.operation.name": "chat"}


class _Trace:
    """Hold the spans of a run under way, and the context that its other spans begin in."""

    __slots__ = ("context", "processing", "run")

    def __init__(self, run: Span, within: Context) -> None:
        self.run, self.context = run, within
        self.processing: Span | None = None


class TracingObserver:
    """Keep a trace for each run."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("persona_stream", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._open: dict[str, _Trace] = {}
        self._ended: OrderedDict[str, Context] = OrderedDict()

    def on_fact(self, entries: Sequence[Entry]) -> None:
        entry = entries[-1]
        fact = entry.fact
        if not isinstance(fact, Started | Answered | Failed):
            return
        run_id = run_terms(entries).run_id
        known = self._open.get(run_id)
        if known is None:
            return
        if isinstance(fact, Started):
            self._span("persona_stream.waiting", known.context, entries[0].at).end(_ns(entry.at))
            known.processing = self._span("persona_stream.processing", known.context, entry.at)
            return
        if known.processing is not None:
            known.processing.end(_ns(entry.at))
        _tell_ending(known.run, fact, entries)
        known.run.end(_ns(entry.at))
        del self._open[run_id]
        self._ended[run_id] = known.context
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def on_notification(self, run_id: str, note: Notification) -> None:
        match note:
            case RunStarted(order=order):
                self._begin(run_id, order)
            case UpstreamCalled(upstream=upstream) if (within := self._context(run_id)) is not None:
                self._asked(upstream, within)
            case SubscriptionClosed() if (within := self._context(run_id)) is not None:
                self._read(note, within)
            case _:
                pass

    def _begin(self, run_id: str, order: RunRequest) -> None:
        around = context.get_current()
        kind = SpanKind.INTERNAL
        if not trace.get_current_span(around).get_span_context().is_valid:
            # Nobody traces the request itself: then the run is what the caller's trace has of this service.
            headers = {name.lower(): value for name, value in order.request_info.headers}
            around, kind = self._propagator.extract(headers, around), SpanKind.SERVER
        began = timestamp_of(run_id)
        span = self._tracer.start_span(
            "persona_stream.run",
            around,
            kind,
            {
                **_CHAT,
                "gen_ai.conversation.id": order.query.conversation_id,
                "http.route": order.request_info.endpoint,
                "persona_stream.run_id": run_id,
                "persona_stream.backend": order.backend.name,
                "persona_stream.dialect": order.request_info.dialect,
                "persona_stream.style": order.style,
            },
            start_time=None if began is None else _ns(began),
        )
        within = trace.set_span_in_context(span, around)
        self._open[run_id] = _Trace(span, within)
        # Both for the work that is about to begin: spans of its own, and the requests that it makes.
        context.attach(within)
        headers = {}
        self._propagator.inject(headers, within)
        trace_headers.set(headers)

    def _asked(self, upstream: UpstreamCall, within: Context) -> None:
        address = urlsplit(upstream.url)
        span = self._tracer.start_span(
            f"chat {upstream.model}",
            within,
            SpanKind.CLIENT,
            {
                **_CHAT,
                "gen_ai.provider.name": upstream.provider,
                "gen_ai.request.model": upstream.model,
                "server.address": address.hostname or "",
                "server.port": address.port or (443 if address.scheme == "https" else 80),
            },
            start_time=_ns(upstream.began_at),
        )
        if upstream.error is not None:
            _tell_failure(span, upstream.status)
        span.end(_ns(upstream.began_at + upstream.seconds))

    def _read(self, reading: SubscriptionClosed, within: Context) -> None:
        span = self._span("persona_stream.reading", within, reading.began_at)
        span.set_attributes(
            {
                "persona_stream.dialect": reading.dialect,
                "persona_stream.resumed": reading.resumed,
                "persona_stream.whole": reading.is_whole,
                "persona_stream.events": reading.events,
                "persona_stream.sent_bytes": reading.sent_bytes,
            }
        )
        for name, at in (("first event", reading.first_event_at), ("first text", reading.first_text_at)):
            if at is not None:
                span.add_event(name, timestamp=_ns(at))
        span.end(_ns(reading.began_at if reading.last_at is None else reading.last_at))

    def _span(self, name: str, within: Context, at: float) -> Span:
        return self._tracer.start_span(name, within, start_time=_ns(at))

    def _context(self, run_id: str) -> Context | None:
        known = self._open.get(run_id)
        return self._ended.get(run_id) if known is None else known.context


def _tell_ending(run: Span, ending: Answered | Failed, entries: Sequence[Entry]) -> None:
    run.set_attribute("persona_stream.status", final_status(ending))
    if isinstance(ending, Answered):
        usage = run_usage(entries)
        run.set_attributes(
            {
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.response.finish_reasons": (ending.finish,),
                "persona_stream.usage_estimated": usage.estimated,
            }
        )
    elif ending.code != "cancelled":  # which somebody wanted
        _tell_failure(run, ending.code)


def _tell_failure(span: Span, kind: str) -> None:
    # Its kind alone: what a backend or a provider says of it may quote the question, or a key.
    span.set_status(StatusCode.ERROR, kind)
    span.set_attribute("error.type", kind)


def _ns(moment: float) -> int:
    return int(moment * 1e9)


_UNNAMED = "unknown_service"
_MOMENT = 3.0  # seconds that the last batch may take


def tracer_provider(names: Sequence[str]) -> tuple[trace.TracerProvider, Callable[[], None]]:
    """Give what makes tracers, and what sends the last spans and ends it.

    It is the process's own from then on, so that the spans that a backend makes go there too.
    """
    known = trace.get_tracer_provider()
    if not isinstance(known, trace.ProxyTracerProvider):  # by opentelemetry-instrument, for instance
        return known, lambda: None
    made = TracerProvider(resource=_resource())
    exporters = [_exporter(name) for name in names]
    for exporter in exporters:
        made.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(made)
    return made, lambda: _close(made, exporters)


def _close(made: TracerProvider, exporters: Sequence[SpanExporter]) -> None:
    closing = threading.Thread(target=made.shutdown, daemon=True)
    closing.start()
    closing.join(_MOMENT)
    if closing.is_alive():  # it would try again and again, for half a minute
        for exporter in exporters:
            exporter.shutdown()
        closing.join(_MOMENT)


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # Of a collector that is away it says so at each of its tries: once for a batch is enough.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
    return OTLPSpanExporter()


def _resource() -> Resource:
    """Say who we are, where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not."""
    found = Resource.create({SERVICE_VERSION: __version__})
    if str(found.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        return found.merge(Resource({SERVICE_NAME: "persona_stream"}))
    return found
