"""What is told of runs beyond the log, where the libraries for it are installed: metrics and traces.

Whether traces are wanted, by the variables that OpenTelemetry has for it.

Source: the OpenTelemetry Environment Variable Specification.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from persona_stream.instrumentation.metrics import Metrics, NullMetrics
from persona_stream.runs.observer import RunObserver

asking_logger = logging.getLogger("persona_stream.tracing")

_ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_KNOWN = ("otlp", "console")
_PROTOCOL = "http/protobuf"


def exporters(environ: Mapping[str, str]) -> Sequence[str]:
    """Give where traces shall go, ``otlp`` or ``console``; nothing, where nobody asks for any.

    What is asked for and cannot be had is said in the log: a server serves without traces too.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    if not any(environ.get(name, "").strip() for name in _ASKING):
        return ()
    asked = [name.strip().lower() for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
    if unknown := [name for name in asked if name not in (*_KNOWN, "none", "")]:
        asking_logger.warning("OTEL_TRACES_EXPORTER: %r is none of %s, none", unknown[0], ", ".join(_KNOWN))
    found = [name for name in asked if name in _KNOWN]
    if "otlp" in found and (protocol := _protocol(environ)) != _PROTOCOL:
        asking_logger.warning("traces are sent as %s, and not as %r: they are not sent", _PROTOCOL, protocol)
        found.remove("otlp")
    return found


def _protocol(environ: Mapping[str, str]) -> str:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environ.get(name, "").strip():
            return protocol
    return _PROTOCOL


logger = logging.getLogger("persona_stream")


def build_metrics() -> tuple[Metrics, Sequence[RunObserver]]:
    """Give what measures, and what must hear of the runs for it."""
    try:
        from persona_stream.instrumentation.prometheus import PrometheusMetrics
    except ImportError:
        return NullMetrics(), ()
    meters = PrometheusMetrics()
    return meters, (meters.observer,)


def build_tracing(environ: Mapping[str, str], closing: ExitStack) -> Sequence[RunObserver]:
    """Give what must hear of the runs for their traces, where the environment asks for traces."""
    if not (names := exporters(environ)):
        return ()
    try:
        from persona_stream.instrumentation.tracing import TracingObserver, tracer_provider
    except ImportError:
        logger.warning('traces are asked for, and need OpenTelemetry: pip install "persona_stream[otel]"')
        return ()
    made, close = tracer_provider(names)
    closing.callback(close)
    return (TracingObserver(made),)
