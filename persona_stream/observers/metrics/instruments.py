"""Every metric that there is: its name, its labels, and what it says."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

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
