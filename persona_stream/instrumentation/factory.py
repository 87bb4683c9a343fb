"""Factory of the optional observers: metrics and traces, where their libraries are installed.

Source: the OpenTelemetry Environment Variable Specification.

Invariants:
    * The environment decides whether traces are wanted before OpenTelemetry is imported.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from persona_stream.instrumentation.metrics import Metrics
from persona_stream.runs.base import RunObserver

logger = logging.getLogger("persona_stream")
tracing_logger = logging.getLogger("persona_stream.tracing")

_TRIGGERS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS = ("otlp", "console")
_PROTOCOL = "http/protobuf"
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def build_metrics() -> tuple[Metrics, Sequence[RunObserver]]:
    """Create the metrics, and the observers that update them."""
    try:
        from persona_stream.instrumentation.prometheus import PrometheusMetrics
    except ImportError:
        return Metrics(), ()
    metrics = PrometheusMetrics()
    return metrics, (metrics.observer,)


def mark_process_dead(pid: int) -> None:
    """Remove a dead process from the gauges of its server; its counters stay."""
    with suppress(ImportError):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)


def build_tracing(environ: Mapping[str, str], closing: ExitStack) -> Sequence[RunObserver]:
    """Create the observer that traces runs, if the environment enables traces."""
    if not (names := exporters(environ)):
        return ()
    try:
        from persona_stream.instrumentation.tracing import TracingObserver, tracer_provider
    except ImportError:
        logger.warning('traces are enabled, but need OpenTelemetry: pip install "persona_stream[otel]"')
        return ()
    provider, close = tracer_provider(names)
    closing.callback(close)
    return (TracingObserver(provider),)


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
        tracing_logger.warning("OTEL_TRACES_EXPORTER: %r is not supported; %s", unknown[0], hint)
    supported = [name for name in names if name in _EXPORTERS]
    protocol = next((value for name in _PROTOCOL_VARIABLES if (value := environ.get(name, "").strip())), _PROTOCOL)
    if "otlp" in supported and protocol != _PROTOCOL:
        tracing_logger.warning("OTLP protocol %r is not supported, no traces are sent: use %s", protocol, _PROTOCOL)
        supported.remove("otlp")
    return supported
