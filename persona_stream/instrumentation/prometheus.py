"""Prometheus metrics: their definitions, the observer of runs that updates them, and the exposition.

Invariants:
    * Labels are bounded: endpoints, names of configured backends, error codes and protocols. No user, run id, text or
      path of a client becomes a label.
    * Nothing is counted while events are sent: a subscription is counted when it closes, and the label combinations of
      a run are looked up once, when it starts.
    * Only this module imports prometheus_client at import time, after ``multiprocess_dir`` has chosen the directory.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import prometheus_client.multiprocess
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from persona_stream.core import facts, snapshot, usage
from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation import metrics
from persona_stream.protocols.registry import is_run_endpoint
from persona_stream.runs import base
from persona_stream.runs.forecasts import Accuracy

# From an instant response to the deadline and beyond, with steps for percentiles of both ends.
_STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 150.0)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Instruments:
    """Metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prometheus_client.disable_created_metrics()  # the creation times of series would double their number

        def counter(name: str, description: str, *labels: str) -> Counter:
            return Counter(f"persona_stream_{name}", description, labels, registry=registry)

        def gauge(name: str, description: str, *labels: str) -> Gauge:
            # Summed over the processes that are alive.
            return Gauge(f"persona_stream_{name}", description, labels, registry=registry, multiprocess_mode="livesum")

        def seconds(name: str, description: str, *labels: str, buckets: Sequence[float] = _STAGE_BUCKETS) -> Histogram:
            return Histogram(f"persona_stream_{name}_seconds", description, labels, registry=registry, buckets=buckets)

        run_labels = ("endpoint", "backend")
        self.started = counter("runs_started_total", "Runs that were accepted.", *run_labels)
        end_labels = (*run_labels, "status", "code")
        self.ended = counter("runs_ended_total", "Runs that ended, by status and error code.", *end_labels)
        self.in_flight = gauge("runs_in_flight", "Runs in progress.", "backend")
        self.waiting = seconds("run_waiting", "Time in the queue, until a run starts.", "backend")
        self.processing = seconds("run_processing", "Time from the start of a run to its end.", "backend")
        self.total = seconds("run_total", "Time from the acceptance of a run to its end.", "backend")
        token_labels = ("backend", "direction", "estimated")
        self.tokens = counter("tokens_total", "Tokens of answered runs, reported or estimated.", *token_labels)

        outcome = ("provider", "outcome")
        self.upstream_attempts = counter("upstream_tries_total", "Requests to providers, by outcome.", *outcome)
        self.upstream = seconds("upstream", "Duration of requests to providers.", "provider")

        subscription_labels = ("dialect", "resumed", "whole")
        closed = "Subscriptions that closed, by protocol, whether they resumed, and whether they got the end."
        self.subscriptions = counter("readings_total", closed, *subscription_labels)
        self.events = counter("events_total", "Events sent, counted when a subscription closes.", "dialect")
        self.sent = counter("sent_bytes_total", "Bytes of events and answers sent, counted likewise.", "dialect")
        self.first_event = seconds("first_event", "Time from a subscription to its first event.", "dialect")
        first_text = "Time from the request that starts a run to the first text of the answer."
        self.first_text = seconds("first_text", first_text, "dialect")
        self.delivery = seconds("delivery", "Time from the end of a run to the last event sent.", "dialect")

        error_labels = ("endpoint", "status", "code")
        self.errors = counter("refusals_total", "Error responses, by route pattern, status and code.", *error_labels)
        self.lag = seconds("hub_lag", "Lag of the event loop, measured every 0.25 s.", buckets=_LAG_BUCKETS)

        def latest(name: str, description: str, *labels: str) -> Gauge:
            # Of the process whose runs ended last: means of several processes have no sum.
            return Gauge(
                f"persona_stream_{name}", description, labels, registry=registry, multiprocess_mode="livemostrecent"
            )

        error = "Mean difference from the true percentage over 200 runs, of the one shown and of the best curve."
        self.progress_error = latest("progress_error_points", error, "backend", "curve")
        stuck = "Share of the time of these runs at the highest percentage, from 0 to 1."
        self.progress_stuck = latest("progress_stuck_share", stuck, "backend")
        coverage = "Share of the moments at which the 80 % range had the true remaining time, from 0 to 1."
        self.progress_coverage = latest("progress_coverage_share", coverage, "backend")

        # The values of these gauges are read at each heartbeat and each scrape.
        self.gauges = {
            "open_streams": gauge("open_streams", "Open streams."),
            "places": gauge("places", "Slots for concurrent runs."),
            "runs_waiting": gauge("runs_waiting", "Runs in the queue."),
            "places_taken": gauge("places_taken", "Slots in use."),
            "abandoned_threads": gauge("abandoned_threads", "Threads that are still busy after the end of their run."),
            "workers": gauge("workers", "Worker processes that take queries."),
            "workers_retired": gauge("workers_retired", "Worker processes that take no more queries."),
            "backends_resting": gauge("backends_resting", "Backends whose circuit breaker is open."),
            "records_waiting": gauge("records_waiting", "Records in the write queue of the database."),
            "records_lost": gauge("records_lost", "Records dropped because the write queue was full."),
        }


_BOOLEANS = {False: "false", True: "true"}


class _RunLabels:
    """Metrics of the runs of one endpoint and one backend."""

    def __init__(self, instruments: Instruments, endpoint: str, backend: str) -> None:
        self.started = instruments.started.labels(endpoint, backend)
        self.in_flight = instruments.in_flight.labels(backend)
        self.waiting = instruments.waiting.labels(backend)
        self.processing = instruments.processing.labels(backend)
        self.total = instruments.total.labels(backend)
        self.ended = cache(lambda status, code: instruments.ended.labels(endpoint, backend, status, code))
        self.tokens = cache(lambda direction, estimated: instruments.tokens.labels(backend, direction, estimated))


class _SubscriberLabels:
    """Metrics of the subscriptions of one protocol."""

    def __init__(self, instruments: Instruments, protocol: str) -> None:
        self.closed = cache(
            lambda resumed, whole: instruments.subscriptions.labels(protocol, _BOOLEANS[resumed], _BOOLEANS[whole])
        )
        self.events = instruments.events.labels(protocol)
        self.sent = instruments.sent.labels(protocol)
        self.first_event = instruments.first_event.labels(protocol)
        self.first_text = instruments.first_text.labels(protocol)
        self.delivery = instruments.delivery.labels(protocol)


@dataclass(slots=True)
class _ObservedRun:
    """Run that has not both ended and released its task."""

    labels: _RunLabels
    has_ended: bool = False
    is_released: bool = False


class PrometheusObserver(base.RunObserver):
    """Observer that counts runs, provider calls and subscriptions."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._run_labels = cache(lambda endpoint, backend: _RunLabels(instruments, endpoint, backend))
        self._subscriber_labels = cache(lambda protocol: _SubscriberLabels(instruments, protocol))
        self._upstream = cache(
            lambda provider, outcome: (
                instruments.upstream_attempts.labels(provider, outcome),
                instruments.upstream.labels(provider),
            )
        )
        self._runs: dict[str, _ObservedRun] = {}

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Count the start and the end of a run."""
        entry = entries[-1]
        fact = entry.fact
        if not isinstance(fact, facts.Started | facts.Answered | facts.Failed):
            return
        run = self._runs.get(run_id := facts.run_terms(entries).run_id)
        if run is None:
            return
        if isinstance(fact, facts.Started):
            run.labels.waiting.observe(_elapsed(entries[0].at, entry.at))
        else:
            has_started = _count_ending(run.labels, fact, entries)
            run.has_ended = True
            run.is_released |= not has_started  # a run that has not started has no task
            self._forget(run_id, run)

    def on_notification(self, run_id: str, notification: base.Notification) -> None:
        """Count runs, provider calls and subscriptions."""
        match notification:
            case base.RunStarted(request=run_request):
                endpoint = run_request.request_info.endpoint
                labels = self._run_labels(endpoint if is_run_endpoint(endpoint) else "other", run_request.backend.name)
                self._runs[run_id] = _ObservedRun(labels)
                labels.started.inc()
                labels.in_flight.inc()
            case base.UpstreamCalled(call=call):
                attempts, seconds = self._upstream(call.provider, call.status)
                attempts.inc()
                seconds.observe(call.seconds)
            case base.TaskReleased() if run := self._runs.get(run_id):
                run.is_released = True
                self._forget(run_id, run)
            case base.SubscriptionClosed():
                self._count_subscription(notification)

    def _forget(self, run_id: str, run: _ObservedRun) -> None:
        # The order of the two depends on the executor and on the journal.
        if run.has_ended and run.is_released:
            del self._runs[run_id]

    def _count_subscription(self, closed: base.SubscriptionClosed) -> None:
        labels = self._subscriber_labels(closed.protocol)
        labels.closed(closed.resumed, closed.is_whole).inc()
        labels.sent.inc(closed.sent_bytes)
        if not closed.events:  # a response without a stream
            return
        labels.events.inc(closed.events)
        if closed.first_event_at is not None:
            labels.first_event.observe(_elapsed(closed.began_at, closed.first_event_at))
        if closed.first_text_at is not None and not closed.resumed:
            labels.first_text.observe(_elapsed(closed.began_at, closed.first_text_at))
        ended_at = closed.ended_at
        if closed.is_whole and ended_at is not None and closed.last_at is not None and closed.began_at <= ended_at:
            labels.delivery.observe(_elapsed(ended_at, closed.last_at))


def _count_ending(labels: _RunLabels, ending: facts.Answered | facts.Failed, entries: Sequence[facts.Entry]) -> bool:
    """Count the end of a run, and return whether it had started."""
    accepted_at = entries[0].at
    ended_at = entries[-1].at
    started_at = next((entry.at for entry in entries if isinstance(entry.fact, facts.Started)), None)
    labels.in_flight.dec()
    labels.total.observe(_elapsed(accepted_at, ended_at))
    if started_at is not None:
        labels.processing.observe(_elapsed(started_at, ended_at))
    labels.ended(snapshot.final_status(ending), ending.code if isinstance(ending, facts.Failed) else "none").inc()
    if isinstance(ending, facts.Answered) and not ending.cached:
        counts = usage.run_usage(entries)
        labels.tokens("in", _BOOLEANS[counts.estimated]).inc(counts.input_tokens)
        labels.tokens("out", _BOOLEANS[counts.estimated]).inc(counts.output_tokens)
    return started_at is not None


def _elapsed(earlier: float, later: float) -> float:
    # The clock of another machine may be ahead.
    return max(0.0, later - earlier)


_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Health(prometheus_client.registry.Collector):
    """Collector that runs the health checks at each scrape."""

    def __init__(self, stores: Callable[[], metrics.HealthChecks]) -> None:
        self._stores = stores

    def collect(self) -> Iterator[prometheus_client.metrics_core.GaugeMetricFamily]:
        """Yield one sample for each store."""
        description = "1 if a store is unavailable to the process that answers, else 0."
        name = "persona_stream_store_missing"
        unavailable = prometheus_client.metrics_core.GaugeMetricFamily(name, description, labels=["store"])
        for store, check in self._stores().items():
            unavailable.add_metric([store], len(check()) > 0)
        yield unavailable


class PrometheusMetrics(metrics.Metrics):
    """Metrics in the format of Prometheus, and the observer that counts runs.

    Raises:
        ConfigurationError: the configured multiprocess directory does not exist.
    """

    def __init__(self) -> None:
        directory = os.environ.get(metrics.DIRECTORY_VARIABLE)
        if directory is not None and not Path(directory).is_dir():
            name = metrics.DIRECTORY_VARIABLE
            hint = "create it, or unset the variable"
            raise ConfigurationError(f"{name} names {directory!r}, which is not a directory: {hint}")
        registry = CollectorRegistry()
        self._instruments = Instruments(registry)
        self._gauges: metrics.Gauges = {}
        self._stores: metrics.HealthChecks = {}
        self.observer = PrometheusObserver(self._instruments)
        if directory is not None:  # the values are in files, and the files of all processes are read
            registry = CollectorRegistry()
            prometheus_client.multiprocess.MultiProcessCollector(registry)
        registry.register(_Health(lambda: self._stores))
        self._registry = registry

    def register_gauges(self, gauges: metrics.Gauges, stores: metrics.HealthChecks) -> None:
        """Register the functions that are read for gauges and health."""
        if unknown := gauges.keys() - self._instruments.gauges.keys():
            raise KeyError(*sorted(unknown))
        self._gauges = gauges
        self._stores = stores

    def count_error(self, endpoint: str, status: int, code: str) -> None:
        """Count an error response."""
        self._instruments.errors.labels(endpoint, status, code).inc()

    def observe_loop_lag(self, seconds: float) -> None:
        """Record the lag of the event loop, and read the gauges."""
        self._instruments.lag.observe(seconds)
        self._read_gauges()

    def observe_accuracy(self, backend: str, accuracy: Accuracy) -> None:
        """Record the accuracy of the progress of a backend's latest runs."""
        self._instruments.progress_error.labels(backend, "shown").set(accuracy.error)
        self._instruments.progress_error.labels(backend, "best").set(accuracy.best_error)
        self._instruments.progress_stuck.labels(backend).set(accuracy.stuck)
        coverage = math.nan if accuracy.coverage is None else accuracy.coverage
        self._instruments.progress_coverage.labels(backend).set(coverage)

    def render(self) -> metrics.Exposition:
        """Return the metrics in the text format of Prometheus."""
        self._read_gauges()
        return metrics.Exposition(prometheus_client.generate_latest(self._registry), _CONTENT_TYPE)

    def _read_gauges(self) -> None:
        for name, read in self._gauges.items():
            self._instruments.gauges[name].set(read())
