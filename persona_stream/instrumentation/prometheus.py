"""Every metric that there is: its name, its labels, and what it says.

Measure with the library, and write it all down as Prometheus reads it.

Count what happens to runs and around them. The series of a run are looked up once, when it begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from persona_stream.core.facts import Answered, Entry, Failed, Started, run_terms
from persona_stream.core.query import UpstreamCall
from persona_stream.core.snapshot import final_status
from persona_stream.core.usage import run_usage
from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation.metrics import Exposition, Gauges, HealthChecks
from persona_stream.instrumentation.multiprocess import FOLDER_VARIABLE
from persona_stream.runs.observer import (
    Notification,
    RunStarted,
    SubscriptionClosed,
    TaskOrphaned,
    TaskReleased,
    UpstreamCalled,
)

# From what is instant to the deadline and beyond: the steps are for percentiles of either end.
_STAGE = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 150.0)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Instruments:
    """Hold the metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # when a series began is of no use to anybody here

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"persona_stream_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            # Of several processes, the sum over those that are alive.
            return Gauge(f"persona_stream_{name}", what, labels, registry=registry, multiprocess_mode="livesum")

        def seconds(name: str, what: str, *labels: str, buckets: tuple[float, ...] = _STAGE) -> Histogram:
            return Histogram(f"persona_stream_{name}_seconds", what, labels, registry=registry, buckets=buckets)

        self.started = counter("runs_started_total", "Runs that were accepted.", "endpoint", "backend")
        self.ended = counter(
            "runs_ended_total",
            "Runs that have ended: complete, error, timeout or cancelled, and with which code.",
            "endpoint",
            "backend",
            "status",
            "code",
        )
        self.in_flight = gauge("runs_in_flight", "Runs that have not ended.", "backend")
        self.waiting = seconds("run_waiting", "From when a run was accepted to when it started.", "backend")
        self.processing = seconds("run_processing", "From when a run started to its ending.", "backend")
        self.total = seconds("run_total", "From when a run was accepted to its ending.", "backend")
        self.tokens = counter(
            "tokens_total",
            "Tokens of answered runs, in and out; estimated where the backend did not say.",
            "backend",
            "direction",
            "estimated",
        )
        self.abandoned = gauge("abandoned_threads", "Threads that go on though their run has ended.")

        self.upstream_tries = counter(
            "upstream_tries_total",
            "Requests to providers: answered, stopped by the run's end, or the kind of the trouble.",
            "provider",
            "outcome",
        )
        self.upstream = seconds("upstream", "From a request to a provider to the end of its answer.", "provider")

        self.readings = counter(
            "readings_total",
            "Readers that have left: whether they had come back, and whether they got the ending.",
            "dialect",
            "resumed",
            "whole",
        )
        self.events = counter("events_total", "Events that readers were sent; counted when a reader leaves.", "dialect")
        self.sent = counter("sent_bytes_total", "Bytes of events and answers; counted as events are.", "dialect")
        self.first_event = seconds("first_event", "From when a reader of a stream came to its first event.", "dialect")
        self.first_text = seconds(
            "first_text", "From when the reader that began a run came to the first text of the answer.", "dialect"
        )
        self.delivery = seconds(
            "delivery", "From a run's ending to the last event of a reader that waited for it.", "dialect"
        )

        self.refusals = counter(
            "refusals_total",
            "Requests that were refused before their first byte; endpoint is the address's pattern, or other.",
            "endpoint",
            "status",
            "code",
        )
        self.lag = seconds("hub_lag", "By how much a sleep of 0.25 s was too long.", buckets=_LAG)

        # What is looked at now and then, by the name that whoever knows the number has for it.
        self.gauges = {
            "open_streams": gauge("open_streams", "Streams that are open."),
            "places": gauge("places", "How many runs there may be at a time."),
            "runs_waiting": gauge("runs_waiting", "Runs that wait for a place."),
            "places_taken": gauge("places_taken", "Places that are taken; an abandoned thread keeps its own."),
            "backends_resting": gauge(
                "backends_resting", "Backends that are asked nothing for a while, as their provider does not answer."
            ),
            "records_waiting": gauge("records_waiting", "What is to be written to the database, and is not yet."),
            "records_lost": gauge(
                "records_lost", "What was not written, because more waited for the database than fits into memory."
            ),
        }


ENDPOINTS = frozenset(
    {
        "/api/stream_chat",
        "/api/stream_chat_advanced",
        "/api/stream_chat_smart",
        "/api/chat",
        "/v1/chat/completions",
        "/v1/messages",
    }
)
"""The addresses that begin runs: any other is counted as ``other``."""

_TRUTH = {False: "false", True: "true"}


class _RunLabels:
    """Hold the series of all runs that came in at one address for one backend."""

    __slots__ = ("_endpoint", "_instruments", "backend", "ended", "in_flight", "processing", "started", "tokens",
                 "total", "waiting")  # fmt: skip

    def __init__(self, instruments: Instruments, endpoint: str, backend: str) -> None:
        self._instruments, self._endpoint, self.backend = instruments, endpoint, backend
        self.started = instruments.started.labels(endpoint, backend)
        self.in_flight = instruments.in_flight.labels(backend)
        self.waiting = instruments.waiting.labels(backend)
        self.processing = instruments.processing.labels(backend)
        self.total = instruments.total.labels(backend)
        self.ended = cache(lambda status, code: instruments.ended.labels(endpoint, backend, status, code))
        self.tokens = cache(lambda direction, estimated: instruments.tokens.labels(backend, direction, estimated))


class _SubscriberLabels:
    """Hold the series of all readers of one dialect."""

    def __init__(self, instruments: Instruments, dialect: str) -> None:
        self.left = cache(lambda resumed, whole: instruments.readings.labels(dialect, _TRUTH[resumed], _TRUTH[whole]))
        self.events = instruments.events.labels(dialect)
        self.sent = instruments.sent.labels(dialect)
        self.first_event = instruments.first_event.labels(dialect)
        self.first_text = instruments.first_text.labels(dialect)
        self.delivery = instruments.delivery.labels(dialect)


class _Run:
    __slots__ = ("has_ended", "is_abandoned", "is_released", "lane")

    def __init__(self, lane: _RunLabels) -> None:
        self.lane = lane
        self.has_ended = self.is_released = self.is_abandoned = False


class PrometheusObserver:
    """Count."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._lane = cache(lambda endpoint, backend: _RunLabels(instruments, endpoint, backend))
        self._audience = cache(lambda dialect: _SubscriberLabels(instruments, dialect))
        self._upstream = cache(
            lambda provider, outcome: (
                instruments.upstream_tries.labels(provider, outcome),
                instruments.upstream.labels(provider),
            )
        )
        self._runs: dict[str, _Run] = {}

    def on_fact(self, entries: Sequence[Entry]) -> None:
        entry = entries[-1]
        fact = entry.fact
        if not isinstance(fact, Started | Answered | Failed):
            return
        run = self._runs.get(run_id := run_terms(entries).run_id)
        if run is None:
            return
        if isinstance(fact, Started):
            run.lane.waiting.observe(_between(entries[0].at, entry.at))
        else:
            has_started = _ended(run.lane, fact, entries)
            run.has_ended = True
            run.is_released |= not has_started  # what has not started holds nothing
            self._let_go(run_id, run)

    def on_notification(self, run_id: str, note: Notification) -> None:
        match note:
            case RunStarted(order=order):
                endpoint = order.request_info.endpoint
                lane = self._lane(endpoint if endpoint in ENDPOINTS else "other", order.backend.name)
                self._runs[run_id] = _Run(lane)
                lane.started.inc()
                lane.in_flight.inc()
            case UpstreamCalled(upstream=upstream):
                self._asked(upstream)
            case TaskOrphaned() if (run := self._runs.get(run_id)) is not None:
                run.is_abandoned = True
                self._instruments.abandoned.inc()
            case TaskReleased() if (run := self._runs.get(run_id)) is not None:
                run.is_released = True
                if run.is_abandoned:
                    self._instruments.abandoned.dec()
                self._let_go(run_id, run)
            case SubscriptionClosed():
                self._read(note)
            case _:
                pass

    def _let_go(self, run_id: str, run: _Run) -> None:
        # Which of the two comes first depends on the executor, and on what keeps the journal.
        if run.has_ended and run.is_released:
            del self._runs[run_id]

    def _asked(self, upstream: UpstreamCall) -> None:
        tries, seconds = self._upstream(upstream.provider, upstream.status)
        tries.inc()
        seconds.observe(upstream.seconds)

    def _read(self, reading: SubscriptionClosed) -> None:
        audience = self._audience(reading.dialect)
        audience.left(reading.resumed, reading.is_whole).inc()
        audience.sent.inc(reading.sent_bytes)
        if not reading.events:  # it was an answer in one piece
            return
        audience.events.inc(reading.events)
        began_at, last_at, ended_at = reading.began_at, reading.last_at, reading.ended_at
        if reading.first_event_at is not None:
            audience.first_event.observe(_between(began_at, reading.first_event_at))
        if reading.first_text_at is not None and not reading.resumed:
            audience.first_text.observe(_between(began_at, reading.first_text_at))
        if reading.is_whole and ended_at is not None and last_at is not None and began_at <= ended_at:
            audience.delivery.observe(_between(ended_at, last_at))


def _ended(lane: _RunLabels, ending: Answered | Failed, entries: Sequence[Entry]) -> bool:
    """Count an ending, and tell whether the run had started."""
    accepted_at, ended_at = entries[0].at, entries[-1].at
    started_at = next((entry.at for entry in entries if isinstance(entry.fact, Started)), None)
    lane.in_flight.dec()
    lane.total.observe(_between(accepted_at, ended_at))
    if started_at is not None:
        lane.processing.observe(_between(started_at, ended_at))
    lane.ended(final_status(ending), ending.code if isinstance(ending, Failed) else "none").inc()
    if isinstance(ending, Answered):
        usage = run_usage(entries)
        lane.tokens("in", _TRUTH[usage.estimated]).inc(usage.input_tokens)
        lane.tokens("out", _TRUTH[usage.estimated]).inc(usage.output_tokens)
    return started_at is not None


def _between(earlier: float, later: float) -> float:
    # Moments of another machine may be ahead of ours.
    return max(0.0, later - earlier)


_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Health(Collector):
    """Ask the stores whenever somebody looks."""

    def __init__(self, stores: Callable[[], HealthChecks]) -> None:
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


class PrometheusMetrics:
    """Measure.

    Attributes:
        observer: hears of the runs.

    Raises:
        ConfigurationError: the folder where several processes are told to count together is none.
    """

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is not None and not Path(folder).is_dir():
            raise ConfigurationError(
                f"{FOLDER_VARIABLE} names {folder!r}, which is no folder: make it, or unset the variable"
            )
        registry = CollectorRegistry()
        self._instruments = Instruments(registry)
        self._gauges: Gauges = {}
        self._stores: HealthChecks = {}
        self.observer = PrometheusObserver(self._instruments)
        if folder is not None:  # then what was counted is in files, and all processes' files are read
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        registry.register(_Health(lambda: self._stores))
        self._registry = registry

    def register_gauges(self, gauges: Gauges, stores: HealthChecks) -> None:
        if unknown := gauges.keys() - self._instruments.gauges.keys():
            raise KeyError(*sorted(unknown))
        self._gauges, self._stores = gauges, stores

    def count_error(self, endpoint: str, status: int, code: str) -> None:
        self._instruments.refusals.labels(endpoint, status, code).inc()

    def observe_loop_lag(self, late: float) -> None:
        self._instruments.lag.observe(late)
        self._look()

    def render(self) -> Exposition:
        self._look()
        return Exposition(generate_latest(self._registry), _CONTENT_TYPE)

    def _look(self) -> None:
        for name, read in self._gauges.items():
            self._instruments.gauges[name].set(read())
