"""Where spans go: what somebody has set up already, else in batches to where the environment says.

Batches are sent by a thread of their own, which gevent has made a greenlet: a collector that is away holds nobody up,
and at the end of the process no longer than a moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from persona_stream import __version__

_UNNAMED = "unknown_service"
_MOMENT = 3.0  # seconds that the last batch may take


def provider(names: Sequence[str]) -> tuple[trace.TracerProvider, Callable[[], None]]:
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
