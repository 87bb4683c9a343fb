"""What is told of runs beyond the log, where the libraries for it are installed: metrics and traces."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from persona_stream.meters import Meters, NoMeters
from persona_stream.observers import Observer
from persona_stream.observers.tracing.asking import exporters

logger = logging.getLogger("persona_stream")


def meters() -> tuple[Meters, Sequence[Observer]]:
    """Give what measures, and what must hear of the runs for it."""
    try:
        from persona_stream.observers.metrics.prometheus import Prometheus
    except ImportError:
        return NoMeters(), ()
    meters = Prometheus()
    return meters, (meters.observer,)


def tracing(environ: Mapping[str, str], closing: ExitStack) -> Sequence[Observer]:
    """Give what must hear of the runs for their traces, where the environment asks for traces."""
    if not (names := exporters(environ)):
        return ()
    try:
        from persona_stream.observers.tracing.observer import TracingObserver
        from persona_stream.observers.tracing.provider import provider
    except ImportError:
        logger.warning('traces are asked for, and need OpenTelemetry: pip install "persona_stream[otel]"')
        return ()
    made, close = provider(names)
    closing.callback(close)
    return (TracingObserver(made),)
