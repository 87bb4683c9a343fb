"""OpenTelemetry traces: one trace for each run, with spans for its stages, provider calls and subscriptions.

A run belongs to the trace that the request's ``traceparent`` names, and so do the spans of a provider that reads the
header of outgoing requests. Spans go to the tracer provider of the process if there is one, else in batches to the
exporters that the environment names.

Invariants:
    * No text, user name or credential becomes part of a span.
    * A collector outage blocks nothing: batches are sent by a thread that gevent has replaced by a greenlet, and the
      end of the process waits for the last batch for ``SHUTDOWN_TIMEOUT`` at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from persona_stream import __version__
from persona_stream.core import facts, query, snapshot, usage
from persona_stream.core.run_id import timestamp_of
from persona_stream.logging import trace_headers
from persona_stream.runs import base

MAX_ENDED_RUNS = 1000  # whose subscriptions may close, or resume, after the end
SHUTDOWN_TIMEOUT = 3.0  # seconds that the last batch may take

Attributes = dict[str, str | bool | int]

_INTERNAL = trace.SpanKind.INTERNAL


@dataclass(slots=True)
class _Trace:
    """Spans of a run in progress, and the context in which its other spans start."""

    run: trace.Span
    parent: context.Context
    processing: trace.Span | None = None


class TracingObserver(base.RunObserver):
    """Observer that creates a trace for each run."""

    reads_requests = True  # a trace may have begun at the client

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("persona_stream", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._open: dict[str, _Trace] = {}
        self._ended: dict[str, context.Context] = {}  # the oldest first

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Start and end the spans of a run and its stages."""
        entry = entries[-1]
        fact = entry.fact
        if not isinstance(fact, facts.Started | facts.Answered | facts.Failed):
            return
        run_id = facts.run_terms(entries).run_id
        open_trace = self._open.get(run_id)
        if open_trace is None:
            return
        if isinstance(fact, facts.Started):
            self._start_span("persona_stream.waiting", open_trace.parent, entries[0].at).end(_nanos(entry.at))
            open_trace.processing = self._start_span("persona_stream.processing", open_trace.parent, entry.at)
            return
        if open_trace.processing is not None:
            open_trace.processing.end(_nanos(entry.at))
        _set_ending(open_trace.run, fact, entries)
        open_trace.run.end(_nanos(entry.at))
        del self._open[run_id]
        self._ended[run_id] = open_trace.parent
        if len(self._ended) > MAX_ENDED_RUNS:
            del self._ended[next(iter(self._ended))]

    def on_notification(self, run_id: str, notification: base.Notification) -> None:
        """Start the trace of a run; add spans for provider calls and subscriptions."""
        match notification:
            case base.RunStarted(request=run_request):
                self._start_run(run_id, run_request)
            case base.UpstreamCalled(call=call) if (parent := self._context(run_id)) is not None:
                self._add_call(call, parent)
            case base.SubscriptionClosed() if (parent := self._context(run_id)) is not None:
                self._add_subscription(notification, parent)

    def _start_run(self, run_id: str, run_request: base.RunRequest) -> None:
        outer = context.get_current()
        kind = _INTERNAL
        if not trace.get_current_span(outer).get_span_context().is_valid:
            # The request itself is not traced: the run represents this service in the client's trace.
            headers = {name.lower(): value for name, value in run_request.request_info.headers}
            outer = self._propagator.extract(headers, outer)
            kind = trace.SpanKind.SERVER
        attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.conversation.id": run_request.query.conversation_id,
            "http.route": run_request.request_info.endpoint,
            "persona_stream.run_id": run_id,
            "persona_stream.backend": run_request.backend.name,
            "persona_stream.dialect": run_request.request_info.protocol,
            "persona_stream.style": run_request.style,
        }
        span = self._start_span("persona_stream.run", outer, timestamp_of(run_id), attributes, kind)
        run_context = trace.set_span_in_context(span, outer)
        self._open[run_id] = _Trace(span, run_context)
        # For the task that starts in this context: its own spans, and the requests that it sends.
        context.attach(run_context)
        headers = {}
        self._propagator.inject(headers, run_context)
        trace_headers.set(headers)

    def _add_call(self, call: query.UpstreamCall, parent: context.Context) -> None:
        address = urlsplit(call.url)
        attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.provider,
            "gen_ai.request.model": call.model,
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }
        span = self._start_span(f"chat {call.model}", parent, call.began_at, attributes, trace.SpanKind.CLIENT)
        if call.error is not None:
            _set_failure(span, call.status)
        span.end(_nanos(call.began_at + call.seconds))

    def _add_subscription(self, closed: base.SubscriptionClosed, parent: context.Context) -> None:
        attributes: Attributes = {
            "persona_stream.dialect": closed.protocol,
            "persona_stream.resumed": closed.resumed,
            "persona_stream.whole": closed.is_whole,
            "persona_stream.events": closed.events,
            "persona_stream.sent_bytes": closed.sent_bytes,
        }
        span = self._start_span("persona_stream.reading", parent, closed.began_at, attributes)
        for name, at in (("first event", closed.first_event_at), ("first text", closed.first_text_at)):
            if at is not None:
                span.add_event(name, timestamp=_nanos(at))
        span.end(_nanos(closed.began_at if closed.last_at is None else closed.last_at))

    def _start_span(
        self,
        name: str,
        parent: context.Context,
        at: float | None,
        attributes: Attributes | None = None,
        kind: trace.SpanKind = _INTERNAL,
    ) -> trace.Span:
        return self._tracer.start_span(name, parent, kind, attributes, start_time=None if at is None else _nanos(at))

    def _context(self, run_id: str) -> context.Context | None:
        open_trace = self._open.get(run_id)
        return self._ended.get(run_id) if open_trace is None else open_trace.parent


def _set_ending(run: trace.Span, ending: facts.Answered | facts.Failed, entries: Sequence[facts.Entry]) -> None:
    run.set_attribute("persona_stream.status", snapshot.final_status(ending))
    if isinstance(ending, facts.Answered):
        tokens = usage.run_usage(entries)
        run.set_attribute("gen_ai.usage.input_tokens", tokens.input_tokens)
        run.set_attribute("gen_ai.usage.output_tokens", tokens.output_tokens)
        run.set_attribute("gen_ai.response.finish_reasons", (ending.finish,))
        run.set_attribute("persona_stream.usage_estimated", tokens.estimated)
    elif ending.code != "cancelled":  # a cancelled run is not a failure
        _set_failure(run, ending.code)


def _set_failure(span: trace.Span, kind: str) -> None:
    # Only its kind: the error text of a backend or a provider may quote the question, or a key.
    span.set_status(trace.StatusCode.ERROR, kind)
    span.set_attribute("error.type", kind)


def _nanos(moment: float) -> int:
    return int(moment * 1e9)
