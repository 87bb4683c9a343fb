"""Factory of the optional observers: metrics and traces, where their libraries are installed.

Source: the OpenTelemetry Environment Variable Specification.

Invariants:
    * The environment decides whether traces are wanted before OpenTelemetry is imported.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from persona_stream import telemetry
from persona_stream.extras import install_command
from persona_stream.instrumentation.metrics import Metrics
from persona_stream.runs.base import RunObserver

logger = logging.getLogger("persona_stream")


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
    if not (names := telemetry.exporters(environ)):
        return ()
    try:
        from persona_stream.instrumentation.tracing import TracingObserver
    except ImportError:
        logger.warning("traces are enabled, but need OpenTelemetry: %s", install_command("otel"))
        return ()
    provider, close = telemetry.create_tracer_provider(names)
    closing.callback(close)
    return (TracingObserver(provider),)
