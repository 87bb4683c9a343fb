"""OpenTelemetry in a process, a server or a worker: its tracer provider, and the trace that a query belongs to.

Source: the OpenTelemetry Environment Variable Specification. The library is imported only where the environment, or the
backend, wants traces.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk import resources
    from opentelemetry.sdk.trace import TracerProvider, export

logger = logging.getLogger("persona_stream.tracing")

SHUTDOWN_TIMEOUT = 3.0  # seconds that the last batch may take

_TRIGGERS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS = ("otlp", "console")
_PROTOCOL = "http/protobuf"
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def start_worker_tracing() -> Callable[[], None]:
    """Set up the tracer provider of a worker, if the environment enables traces; return the function that closes it.

    The spans that the backend creates are sent from there.
    """
    names = exporters(os.environ)
    try:
        return create_tracer_provider(names)[1] if names else lambda: None
    except ImportError:  # the server has logged it
        return lambda: None


def attach(headers: Mapping[str, str]) -> None:
    """Make the span that ``traceparent`` names the current one of this context, if OpenTelemetry is in use."""
    if headers and "opentelemetry" in sys.modules:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context.attach(TraceContextTextMapPropagator().extract(dict(headers)))


def exporters(environ: Mapping[str, str]) -> Sequence[str]:
    """Return the exporters of traces, of ``otlp`` and ``console``; none if traces are not enabled.

    An exporter or protocol that is not supported is logged and left out: the server runs without traces too.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    if not any(environ.get(name, "").strip() for name in _TRIGGERS):
        return ()
    names = [name.strip().lower() for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    if unknown := [name for name in names if name not in (*_EXPORTERS, "none", "")]:
        hint = f"use {', '.join(_EXPORTERS)} or none"
        logger.warning("OTEL_TRACES_EXPORTER: %r is not supported; %s", unknown[0], hint)
    supported = [name for name in names if name in _EXPORTERS]
    protocol = next((value for name in _PROTOCOL_VARIABLES if (value := environ.get(name, "").strip())), _PROTOCOL)
    if "otlp" in supported and protocol != _PROTOCOL:
        logger.warning("OTLP protocol %r is not supported, no traces are sent: use %s", protocol, _PROTOCOL)
        supported.remove("otlp")
    return supported


def create_tracer_provider(names: Sequence[str]) -> "tuple[trace.TracerProvider, Callable[[], None]]":
    """Return the tracer provider of the process, and the function that sends the last spans and closes it.

    A new provider is registered globally, so that it gets the spans of backends too.

    Raises:
        ImportError: OpenTelemetry is not installed.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider, export

    current = trace.get_tracer_provider()
    if not isinstance(current, trace.ProxyTracerProvider):  # set by opentelemetry-instrument, for example
        return current, lambda: None
    provider = TracerProvider(resource=_resource())
    exporters = [_create_exporter(name) for name in names]
    for exporter in exporters:
        provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider, lambda: _close(provider, exporters)


def _close(provider: "TracerProvider", exporters: "Sequence[export.SpanExporter]") -> None:
    closing = threading.Thread(target=provider.shutdown, daemon=True)
    closing.start()
    closing.join(SHUTDOWN_TIMEOUT)
    if closing.is_alive():  # it would retry for half a minute
        for exporter in exporters:
            exporter.shutdown()
        closing.join(SHUTDOWN_TIMEOUT)


def _create_exporter(name: str) -> "export.SpanExporter":
    from opentelemetry.sdk.trace import export

    if name == "console":
        return export.ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # It logs each attempt during a collector outage: one line for each batch is enough.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
    return OTLPSpanExporter()


def _resource() -> "resources.Resource":
    """Return the resource of the environment, with this service's name unless the environment sets another one."""
    from opentelemetry.sdk import resources

    resource = resources.Resource.create({resources.SERVICE_VERSION: version("persona_stream")})
    # The default of the SDK.
    is_unnamed = str(resource.attributes[resources.SERVICE_NAME]).startswith("unknown_service")
    return resource.merge(resources.Resource({resources.SERVICE_NAME: "persona_stream"})) if is_unnamed else resource
