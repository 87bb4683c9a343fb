"""What is written down for Prometheus.

Runs on paper, and what is counted of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Answered, Entry, Fact, Failed, ProgressReported, Queued, Started, TextDelta
from persona_stream.core.query import Query, UpstreamCall, Usage
from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation.prometheus import Instruments, PrometheusMetrics, PrometheusObserver
from persona_stream.protocols.registry import PROTOCOLS
from persona_stream.runs.observer import (
    Notification,
    RunStarted,
    SubscriptionClosed,
    TaskOrphaned,
    TaskReleased,
    UpstreamCalled,
)
from persona_stream.runs.request import RequestInfo, RunRequest
from tests.fakes import RUN_ID, accepted, entries
from tests.metrics_client import MetricReader, families, parse_metrics


def look(meters: PrometheusMetrics) -> MetricReader:
    """Read it as Prometheus does."""
    return parse_metrics(meters.render().body.decode())


def test_gauges_are_looked_at_when_somebody_asks():
    """So that the number is the one of this moment."""
    meters, places = PrometheusMetrics(), [3]
    meters.register_gauges({"places_taken": lambda: places[0]}, {})
    assert look(meters)("places_taken") == 3
    places[0] = 5
    assert look(meters)("places_taken") == 5


def test_gauges_are_looked_at_with_each_beat():
    """For where another process is asked, which reads what this one wrote."""
    meters, looked = PrometheusMetrics(), []
    meters.register_gauges({"open_streams": lambda: looked.append(True) or 0.0}, {})
    meters.observe_loop_lag(0.5)
    assert looked == [True]
    assert look(meters)("hub_lag_seconds_sum") == 0.5


def test_a_gauge_that_nobody_explains_is_refused():
    """Every name has a help text."""
    with pytest.raises(KeyError, match="unheard_of"):
        PrometheusMetrics().register_gauges({"unheard_of": lambda: 1.0}, {})


def test_a_store_that_is_out_of_reach_shows():
    """By its name, each for itself."""
    meters = PrometheusMetrics()
    meters.register_gauges({}, {"journals": lambda: ["redis"], "conversations": lambda: []})
    found = look(meters)
    assert found("store_missing", store="journals") == 1
    assert found("store_missing", store="conversations") == 0


def test_a_refusal_is_counted_by_the_pattern_of_its_address():
    """Once each."""
    meters = PrometheusMetrics()
    for _ in range(2):
        meters.count_error("/api/runs/<run_id>", 404, "not_found")
    assert look(meters)("refusals_total", endpoint="/api/runs/<run_id>", status="404", code="not_found") == 2


def test_two_applications_of_a_process_count_for_themselves():
    """As tests make them, and whoever mounts two."""
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.observe_loop_lag(0.5)
    assert look(other)("hub_lag_seconds_count") == 0


def test_every_metric_has_its_unit_and_its_help():
    """Durations are seconds, sizes bytes, what only grows a total; and a sentence says what it is."""
    for family in families(PrometheusMetrics().render().body.decode()):
        assert family.name.startswith("persona_stream_")
        assert family.documentation.endswith(".")
        assert (family.type == "histogram") == family.name.endswith("_seconds")


def test_a_folder_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """In a sentence that names it."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match=r"PROMETHEUS_MULTIPROC_DIR names .*gone"):
        PrometheusMetrics()


SMART = "/api/stream_chat_smart"


class Paper:
    """Let runs happen on paper, and say what was counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.observer = PrometheusObserver(Instruments(self.registry))

    def begin(self, endpoint: str = SMART, backend: str = "demo") -> None:
        """Accept a run."""
        query = Query(username="ada", message="How many?")
        order = RunRequest(
            query, Backend(backend, lambda query: ""), "smart", "words", request_info=RequestInfo(endpoint=endpoint)
        )
        self.observer.on_notification(RUN_ID, RunStarted(order))

    def happen(self, *happened: tuple[float, Fact]) -> None:
        """Write a journal, and tell of each entry."""
        journal: list[Entry] = entries(*happened)
        for count in range(1, len(journal) + 1):
            self.observer.on_fact(journal[:count])

    def note(self, *notes: Notification) -> None:
        """Tell of what happens around the run."""
        for note in notes:
            self.observer.on_notification(RUN_ID, note)

    def counted(self) -> Mapping[str, float]:
        """Give everything that is not zero, of histograms the count and the sum."""
        return {
            f"{sample.name.removeprefix('persona_stream_')}{list(sample.labels.values()) or ''}": sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.value and not sample.name.endswith("_bucket")
        }


@pytest.fixture
def paper() -> Paper:
    return Paper()


def reading(**more: object) -> SubscriptionClosed:
    """Give a reader that came at 10.0, was sent all, and left."""
    whole = {
        "dialect": "native",
        "resumed": False,
        "began_at": 10.0,
        "first_event_at": 10.25,
        "first_text_at": 13.5,
        "last_at": 15.0,
        "events": 7,
        "pieces": 3,
        "sent_bytes": 700,
        "is_whole": True,
        "ended_at": 13.0,
    }
    return SubscriptionClosed(**{**whole, **more})


def test_an_answered_run_is_counted_with_its_stages_and_tokens(paper: Paper):
    """What comes between its start and its ending counts nothing."""
    paper.begin()
    paper.happen(
        (10.0, accepted()),
        (10.5, Started()),
        (11.0, ProgressReported("Reading", 0.5)),
        (12.0, TextDelta("Forty-")),
        (13.0, Answered("two.", Usage(input_tokens=7, output_tokens=9))),
    )
    paper.note(TaskReleased())
    labels = [SMART, "demo"]
    assert paper.counted() == {
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


def test_a_run_is_in_flight_until_its_ending(paper: Paper):
    """And not for longer, though its work may take its time to die."""
    paper.begin()
    paper.happen((10.0, accepted()), (10.0, Started()))
    assert paper.counted()["runs_in_flight['demo']"] == 1
    paper.happen((10.0, accepted()), (10.0, Started()), (12.0, Failed("timeout")))
    assert "runs_in_flight['demo']" not in paper.counted()


@pytest.mark.parametrize(
    ("code", "status"),
    [("timeout", "timeout"), ("cancelled", "cancelled"), ("lost", "error"), ("backend_error", "error")],
)
def test_a_failed_run_is_counted_by_its_status_and_code(paper: Paper, code: str, status: str):
    """And took no tokens that anybody knows of."""
    paper.begin()
    paper.happen((10.0, accepted()), (10.0, Started()), (12.0, Failed(code)))
    counted = paper.counted()
    assert counted[f"runs_ended_total{[SMART, 'demo', status, code]}"] == 1
    assert not [name for name in counted if name.startswith("tokens")]


def test_a_run_that_never_started_has_no_time_of_processing(paper: Paper):
    """It has waited, and that is in its total."""
    paper.begin()
    paper.happen((10.0, accepted()), (12.0, Failed("internal")))
    counted = paper.counted()
    assert counted["run_total_seconds_sum['demo']"] == 2.0
    assert "run_processing_seconds_count['demo']" not in counted


def test_nothing_is_kept_of_a_run_that_ended_while_it_waited(paper: Paper):
    """It held nothing that could be released."""
    paper.begin()
    paper.happen((10.0, accepted()), (10.0, Queued(1)), (12.0, Failed("timeout")))
    before = paper.counted()
    paper.note(TaskOrphaned())
    assert paper.counted() == before


def test_what_no_backend_counted_is_estimated(paper: Paper):
    """And says so."""
    paper.begin()
    paper.happen((10.0, accepted()), (10.0, Started()), (12.0, Answered("Forty-two is the answer.")))
    assert paper.counted()["tokens_total['demo', 'out', 'true']"] > 0


def test_a_path_of_a_strangers_is_no_label(paper: Paper):
    """Whatever asks for a run, the series are as many as there are addresses."""
    paper.begin(endpoint="/api/../../etc")
    assert paper.counted()["runs_started_total['other', 'demo']"] == 1


def test_a_thread_that_goes_on_is_abandoned_until_it_returns(paper: Paper):
    """A run whose work could be stopped never is."""
    paper.begin()
    paper.happen((10.0, accepted()), (10.0, Started()), (12.0, Failed("timeout")))
    paper.note(TaskOrphaned())
    assert paper.counted()["abandoned_threads"] == 1
    paper.note(TaskReleased())
    assert "abandoned_threads" not in paper.counted()


def test_nothing_is_kept_of_a_run_that_is_over(paper: Paper):
    """Whichever comes last, its ending or the end of its work: what is told of it then counts nothing."""
    begun = (10.0, accepted()), (10.0, Started())
    paper.begin()
    paper.happen(*begun)
    paper.note(TaskReleased())
    paper.happen(*begun, (12.0, Answered("Late.")))
    before = paper.counted()
    paper.note(TaskOrphaned(), TaskReleased())
    paper.happen(*begun, (13.0, Failed("cancelled")))
    assert paper.counted() == before


def test_a_reader_is_counted_when_it_leaves(paper: Paper):
    """With what it was sent, and how long it waited for the first of it and for the rest after the ending."""
    paper.note(reading())
    assert paper.counted() == {
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
def test_what_says_nothing_about_a_stream_is_not_measured(paper: Paper, more: Mapping[str, object], absent: set[str]):
    """Who comes back waits for no first text, who comes late for no ending, and one answer is no stream."""
    paper.note(reading(**more))
    measured = {name.partition("_seconds_count")[0] for name in paper.counted() if "_seconds_count" in name}
    assert measured == {"first_event", "first_text", "delivery"} - absent


@pytest.mark.parametrize("outcome", ["answered", "busy", "stopped"])
def test_a_provider_is_counted_by_what_came_of_it(paper: Paper, outcome: str):
    """Each try, and how long it took."""
    upstream = UpstreamCall(
        provider="openai", model="m1", url="http://x", request={}, status=outcome, began_at=1.0, seconds=2.0
    )
    paper.note(UpstreamCalled(upstream))
    assert paper.counted() == {
        f"upstream_tries_total['openai', '{outcome}']": 1,
        "upstream_seconds_count['openai']": 1,
        "upstream_seconds_sum['openai']": 2.0,
    }


def test_the_addresses_that_begin_runs_are_known(whole: Flask):
    """No other address takes a question."""
    posts = {rule.rule for rule in whole.url_map.iter_rules() if "POST" in rule.methods}
    posts = {address for address in posts if not address.startswith("/dashboard/")}  # it looks at runs
    endpoints = {path for protocol in PROTOCOLS.values() for path in protocol.run_endpoints}
    assert posts - endpoints == {"/api/runs/<run_id>/cancel", "/v1/messages/count_tokens"}
    assert posts > endpoints
