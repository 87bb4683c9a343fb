"""What is written down for Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_stream.errors import StartError
from persona_stream.instrumentation.prometheus import Prometheus
from tests.scraping import Seen, families, seen


def look(meters: Prometheus) -> Seen:
    """Read it as Prometheus does."""
    return seen(meters.exposition().body.decode())


def test_gauges_are_looked_at_when_somebody_asks():
    """So that the number is the one of this moment."""
    meters, places = Prometheus(), [3]
    meters.watch({"places_taken": lambda: places[0]}, {})
    assert look(meters)("places_taken") == 3
    places[0] = 5
    assert look(meters)("places_taken") == 5


def test_gauges_are_looked_at_with_each_beat():
    """For where another process is asked, which reads what this one wrote."""
    meters, looked = Prometheus(), []
    meters.watch({"open_streams": lambda: looked.append(True) or 0.0}, {})
    meters.beat(0.5)
    assert looked == [True]
    assert look(meters)("hub_lag_seconds_sum") == 0.5


def test_a_gauge_that_nobody_explains_is_refused():
    """Every name has a help text."""
    with pytest.raises(KeyError, match="unheard_of"):
        Prometheus().watch({"unheard_of": lambda: 1.0}, {})


def test_a_store_that_is_out_of_reach_shows():
    """By its name, each for itself."""
    meters = Prometheus()
    meters.watch({}, {"journals": lambda: ["redis"], "conversations": lambda: []})
    found = look(meters)
    assert found("store_missing", store="journals") == 1
    assert found("store_missing", store="conversations") == 0


def test_a_refusal_is_counted_by_the_pattern_of_its_address():
    """Once each."""
    meters = Prometheus()
    for _ in range(2):
        meters.refused("/api/runs/<run_id>", 404, "not_found")
    assert look(meters)("refusals_total", endpoint="/api/runs/<run_id>", status="404", code="not_found") == 2


def test_two_applications_of_a_process_count_for_themselves():
    """As tests make them, and whoever mounts two."""
    one, other = Prometheus(), Prometheus()
    one.beat(0.5)
    assert look(other)("hub_lag_seconds_count") == 0


def test_every_metric_has_its_unit_and_its_help():
    """Durations are seconds, sizes bytes, what only grows a total; and a sentence says what it is."""
    for family in families(Prometheus().exposition().body.decode()):
        assert family.name.startswith("persona_stream_")
        assert family.documentation.endswith(".")
        assert (family.type == "histogram") == family.name.endswith("_seconds")


def test_a_folder_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """In a sentence that names it."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    with pytest.raises(StartError, match=r"PROMETHEUS_MULTIPROC_DIR names .*gone"):
        Prometheus()
