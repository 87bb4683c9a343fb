"""Measure with the library, and write it all down as Prometheus reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from persona_stream.errors import StartError
from persona_stream.meters import Exposition, Gauges, Stores
from persona_stream.observers.metrics.instruments import Instruments
from persona_stream.observers.metrics.observer import MetricsObserver
from persona_stream.observers.metrics.processes import FOLDER_VARIABLE

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Health(Collector):
    """Ask the stores whenever somebody looks."""

    def __init__(self, stores: Callable[[], Stores]) -> None:
        self._stores = stores

    def collect(self) -> Iterator[GaugeMetricFamily]:
        missing = GaugeMetricFamily(
            "persona_stream_store_missing",
            "1 where a store is out of reach of the process that was asked, else 0.",
            labels=["store"],
        )
        for name, ask in self._stores().items():
            missing.add_metric([name], len(ask()) > 0)
        yield missing


class Prometheus:
    """Measure.

    Attributes:
        observer: hears of the runs.

    Raises:
        StartError: the folder where several processes are told to count together is none.
    """

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is not None and not Path(folder).is_dir():
            raise StartError(f"{FOLDER_VARIABLE} names {folder!r}, which is no folder: make it, or unset the variable")
        registry = CollectorRegistry()
        self._instruments = Instruments(registry)
        self._gauges: Gauges = {}
        self._stores: Stores = {}
        self.observer = MetricsObserver(self._instruments)
        if folder is not None:  # then what was counted is in files, and all processes' files are read
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        registry.register(_Health(lambda: self._stores))
        self._registry = registry

    def watch(self, gauges: Gauges, stores: Stores) -> None:
        if unknown := gauges.keys() - self._instruments.gauges.keys():
            raise KeyError(*sorted(unknown))
        self._gauges, self._stores = gauges, stores

    def refused(self, endpoint: str, status: int, code: str) -> None:
        self._instruments.refusals.labels(endpoint, status, code).inc()

    def beat(self, late: float) -> None:
        self._instruments.lag.observe(late)
        self._look()

    def exposition(self) -> Exposition:
        self._look()
        return Exposition(generate_latest(self._registry), _CONTENT_TYPE)

    def _look(self) -> None:
        for name, read in self._gauges.items():
            self._instruments.gauges[name].set(read())
