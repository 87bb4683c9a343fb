"""Prometheus metrics: the exposition, and the observer that counts runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from persona_stream.backends.base import Backend
from persona_stream.core.facts import AnswerDelta, Answered, Entry, Fact, Failed, ProgressReported, Queued, Started
from persona_stream.core.query import Query, UpstreamCall, Usage
from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation.prometheus import Instruments, PrometheusMetrics, PrometheusObserver
from persona_stream.protocols.registry import PROTOCOLS
from persona_stream.runs.base import (
    Notification,
    RequestInfo,
    RunRequest,
    RunStarted,
    SubscriptionClosed,
    TaskReleased,
    UpstreamCalled,
)
from persona_stream.runs.forecasts import Accuracy
from tests.fakes import RUN_ID, accepted, entries
from tests.metrics_client import MetricReader, families, parse_metrics


def look(metrics: PrometheusMetrics) -> MetricReader:
    """Parse the exposition as Prometheus does."""
    return parse_metrics(metrics.render().body.decode())


def test_gauges_are_read_at_each_scrape():
    """A scrape returns the current value."""
    metrics, slots = PrometheusMetrics(), [3]
    metrics.register_gauges({"places_taken": lambda: slots[0]}, {})
    assert look(metrics)("places_taken") == 3
    slots[0] = 5
    assert look(metrics)("places_taken") == 5


def test_gauges_are_read_at_each_heartbeat():
    """Another process that is scraped reads the value that this one wrote."""
    metrics, looked = PrometheusMetrics(), []
    metrics.register_gauges({"open_streams": lambda: looked.append(True) or 0.0}, {})
    metrics.observe_loop_lag(0.5)
    assert looked == [True]
    assert look(metrics)("hub_lag_seconds_sum") == 0.5


def test_the_accuracy_of_the_progress_is_exported():
    """By backend, beside that of the best curve."""
    metrics = PrometheusMetrics()
    metrics.observe_accuracy("default", Accuracy(200, error=13.5, best_error=13.0, stuck=0.01, coverage=0.8))
    metrics.observe_accuracy("new", Accuracy(1, error=40.0, best_error=1.0, stuck=0.0, coverage=None))
    seen = look(metrics)
    assert seen("progress_error_points", backend="default", curve="shown") == 13.5
    assert seen("progress_error_points", backend="default", curve="best") == 13.0
    assert seen("progress_stuck_share", backend="default") == 0.01
    assert seen("progress_coverage_share", backend="default") == 0.8


def test_an_undefined_gauge_is_rejected():
    """Every gauge has a help text."""
    with pytest.raises(KeyError, match="unheard_of"):
        PrometheusMetrics().register_gauges({"unheard_of": lambda: 1.0}, {})


def test_an_unavailable_store_is_exported():
    """Each store has its own label."""
    metrics = PrometheusMetrics()
    metrics.register_gauges({}, {"journals": lambda: ["redis"], "conversations": lambda: []})
    found = look(metrics)
    assert found("store_missing", store="journals") == 1
    assert found("store_missing", store="conversations") == 0


def test_an_error_response_is_counted_by_its_route_pattern():
    """Each response is counted once."""
    metrics = PrometheusMetrics()
    for _ in range(2):
        metrics.count_error("/api/runs/<run_id>", 404, "not_found")
    assert look(metrics)("refusals_total", endpoint="/api/runs/<run_id>", status="404", code="not_found") == 2


def test_two_applications_of_a_process_count_for_themselves():
    """Tests create several, and an application may be mounted twice."""
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.observe_loop_lag(0.5)
    assert look(other)("hub_lag_seconds_count") == 0


def test_every_metric_has_its_unit_and_its_help():
    """Histograms are in seconds, and the help text is a sentence."""
    for family in families(PrometheusMetrics().render().body.decode()):
        assert family.name.startswith("persona_stream_")
        assert family.documentation.endswith(".")
        assert (family.type == "histogram") == family.name.endswith("_seconds")


def test_a_missing_directory_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The error names it."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match=r"PROMETHEUS_MULTIPROC_DIR names .*gone"):
        PrometheusMetrics()


SMART = "/api/stream_chat_smart"


class Scenario:
    """Observer with a registry, driven by facts and notifications."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.observer = PrometheusObserver(Instruments(self.registry))

    def start(self, endpoint: str = SMART, backend: str = "demo") -> None:
        """Start a run."""
        query = Query(username="ada", message="How many?")
        order = RunRequest(
            query, Backend(backend, lambda query: ""), "smart", "words", request_info=RequestInfo(endpoint=endpoint)
        )
        self.observer.on_notification(RUN_ID, RunStarted(order))

    def record(self, *happened: tuple[float, Fact]) -> None:
        """Pass each entry of a journal to the observer."""
        journal: list[Entry] = entries(*happened)
        for count in range(1, len(journal) + 1):
            self.observer.on_fact(journal[:count])

    def notify(self, *notes: Notification) -> None:
        """Pass notifications to the observer."""
        for note in notes:
            self.observer.on_notification(RUN_ID, note)

    def samples(self) -> Mapping[str, float]:
        """Return all samples that are not zero; of histograms, the count and the sum."""
        return {
            f"{sample.name.removeprefix('persona_stream_')}{list(sample.labels.values()) or ''}": sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.value and not sample.name.endswith("_bucket")
        }


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def subscription(**more: object) -> SubscriptionClosed:
    """Create a closed subscription that began at 10.0 and got everything."""
    whole = {
        "protocol": "native",
        "resumed": False,
        "began_at": 10.0,
        "first_event_at": 10.25,
        "first_text_at": 13.5,
        "last_at": 15.0,
        "events": 7,
        "chunks": 3,
        "sent_bytes": 700,
        "is_whole": True,
        "ended_at": 13.0,
    }
    return SubscriptionClosed(**{**whole, **more})


def test_an_answered_run_is_counted_with_its_stages_and_tokens(scenario: Scenario):
    """Other facts count nothing."""
    scenario.start()
    scenario.record(
        (10.0, accepted()),
        (10.5, Started()),
        (11.0, ProgressReported("Reading", 0.5)),
        (12.0, AnswerDelta("Forty-")),
        (13.0, Answered("two.", Usage(input_tokens=7, output_tokens=9))),
    )
    scenario.notify(TaskReleased())
    labels = [SMART, "demo"]
    assert scenario.samples() == {
        f"runs_started_total{labels}": 1,
        f"runs_ended_total{[*labels, 'complete', 'none']}": 1,
        "run_waiting_seconds_count['demo']": 1,
        "run_waiting_seconds_sum['demo']": 0.5,
        "run_processing_seconds_count['demo']": 1,
        "run_processing_seconds_sum['demo']": 2.5,
        "run_total_seconds_count['demo']": 1,
        "run_total_seconds_sum['demo']": 3.0,
        "tokens_total['demo', 'in', 'false']": 7,
        "tokens_total['demo', 'out', 'false']": 9,
    }


def test_a_run_is_in_flight_until_its_ending(scenario: Scenario):
    """Not longer, even if its task takes time to stop."""
    scenario.start()
    scenario.record((10.0, accepted()), (10.0, Started()))
    assert scenario.samples()["runs_in_flight['demo']"] == 1
    scenario.record((10.0, accepted()), (10.0, Started()), (12.0, Failed("timeout")))
    assert "runs_in_flight['demo']" not in scenario.samples()


@pytest.mark.parametrize(
    ("code", "status"),
    [("timeout", "timeout"), ("cancelled", "cancelled"), ("lost", "error"), ("backend_error", "error")],
)
def test_a_failed_run_is_counted_by_its_status_and_code(scenario: Scenario, code: str, status: str):
    """It counts no tokens."""
    scenario.start()
    scenario.record((10.0, accepted()), (10.0, Started()), (12.0, Failed(code)))
    counted = scenario.samples()
    assert counted[f"runs_ended_total{[SMART, 'demo', status, code]}"] == 1
    assert not [name for name in counted if name.startswith("tokens")]


def test_a_run_that_never_started_has_no_time_of_processing(scenario: Scenario):
    """Its total consists of the time in the queue."""
    scenario.start()
    scenario.record((10.0, accepted()), (12.0, Failed("internal")))
    counted = scenario.samples()
    assert counted["run_total_seconds_sum['demo']"] == 2.0
    assert "run_processing_seconds_count['demo']" not in counted


def test_a_run_that_ended_in_the_queue_is_forgotten(scenario: Scenario):
    """It has no task that could be released."""
    scenario.start()
    scenario.record((10.0, accepted()), (10.0, Queued(1)), (12.0, Failed("timeout")))
    before = scenario.samples()
    scenario.notify(TaskReleased())
    assert scenario.samples() == before


def test_tokens_without_a_count_are_estimated(scenario: Scenario):
    """The label tells so."""
    scenario.start()
    scenario.record((10.0, accepted()), (10.0, Started()), (12.0, Answered("Forty-two is the answer.")))
    assert scenario.samples()["tokens_total['demo', 'out', 'true']"] > 0


def test_an_unknown_endpoint_is_counted_as_other(scenario: Scenario):
    """The number of series is bounded by the number of endpoints."""
    scenario.start(endpoint="/api/../../etc")
    assert scenario.samples()["runs_started_total['other', 'demo']"] == 1


def test_a_finished_run_is_forgotten(scenario: Scenario):
    """After its end and the release of its task, in either order, further notifications count nothing."""
    begun = (10.0, accepted()), (10.0, Started())
    scenario.start()
    scenario.record(*begun)
    scenario.notify(TaskReleased())
    scenario.record(*begun, (12.0, Answered("Late.")))
    before = scenario.samples()
    scenario.notify(TaskReleased())
    scenario.record(*begun, (13.0, Failed("cancelled")))
    assert scenario.samples() == before


def test_a_subscription_is_counted_when_it_closes(scenario: Scenario):
    """With the events sent, the time to the first ones, and the time from the end to the last one."""
    scenario.notify(subscription())
    assert scenario.samples() == {
        "readings_total['native', 'false', 'true']": 1,
        "events_total['native']": 7,
        "sent_bytes_total['native']": 700,
        "first_event_seconds_count['native']": 1,
        "first_event_seconds_sum['native']": 0.25,
        "first_text_seconds_count['native']": 1,
        "first_text_seconds_sum['native']": 3.5,
        "delivery_seconds_count['native']": 1,
        "delivery_seconds_sum['native']": 2.0,
    }


@pytest.mark.parametrize(
    ("more", "absent"),
    [
        ({"resumed": True}, {"first_text"}),
        ({"is_whole": False, "ended_at": None}, {"delivery"}),
        ({"ended_at": 9.0}, {"delivery"}),
        ({"first_text_at": None}, {"first_text"}),
        ({"events": 0}, {"first_event", "first_text", "delivery"}),
    ],
    ids=["came back", "left before", "came after", "no text", "one piece"],
)
def test_only_meaningful_latencies_are_measured(scenario: Scenario, more: Mapping[str, object], absent: set[str]):
    """A resumed subscription has no first text, a late one no delivery, and a plain response no stream."""
    scenario.notify(subscription(**more))
    measured = {name.partition("_seconds_count")[0] for name in scenario.samples() if "_seconds_count" in name}
    assert measured == {"first_event", "first_text", "delivery"} - absent


@pytest.mark.parametrize("outcome", ["answered", "busy", "stopped"])
def test_provider_calls_are_counted_by_outcome(scenario: Scenario, outcome: str):
    """Each attempt, with its duration."""
    upstream = UpstreamCall(
        provider="openai", model="m1", url="http://x", request={}, status=outcome, began_at=1.0, seconds=2.0
    )
    scenario.notify(UpstreamCalled(upstream))
    assert scenario.samples() == {
        f"upstream_tries_total['openai', '{outcome}']": 1,
        "upstream_seconds_count['openai']": 1,
        "upstream_seconds_sum['openai']": 2.0,
    }


def test_the_endpoints_that_start_runs_are_complete(whole: Flask):
    """No other endpoint accepts a question."""
    posts = {rule.rule for rule in whole.url_map.iter_rules() if "POST" in rule.methods}
    posts = {address for address in posts if not address.startswith("/dashboard/")}  # it starts no runs
    endpoints = {path for protocol in PROTOCOLS.values() for path in protocol.run_endpoints}
    assert posts - endpoints == {
        "/api/runs/<run_id>/cancel", "/api/runs/<run_id>/input", "/api/ui/chat/<chat_id>/stop",
        "/v1/messages/count_tokens", "/v1/responses/<response_id>/cancel",
    }  # fmt: skip
    assert posts > endpoints
