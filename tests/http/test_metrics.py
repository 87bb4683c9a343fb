"""``/metrics`` of a running server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metrics_client import scrape
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import read

SMART = "/api/stream_chat_smart"


@pytest.fixture(scope="module")
def measured() -> Iterator[ServerProcess]:
    """Start a server with the thread executor."""
    served = serve("tests.backends_for_tests:chosen", executor="thread", timeout=1)
    yield served
    assert served.stop() == 0


def test_a_run_is_counted_while_in_progress_and_after_its_end(server: ServerProcess):
    """It is in progress with a slot and a stream, and is counted as ended afterwards."""
    before = scrape(server)
    backend = {"backend": "tests.backends_for_tests:chosen"}
    body = {"username": "slow", "message": "1"}
    with server.post(SMART, body, stream=True) as response:
        wait_for(lambda: scrape(server)("open_streams") == 1)
        during = scrape(server)
        assert during("runs_in_flight", **backend) == 1
        assert during("places_taken") == 1
        got = read(response)
    wait_for(lambda: scrape(server)("open_streams") == 0)
    after = scrape(server)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert after("runs_in_flight", **backend) == after("places_taken") == 0
    assert more("runs_started_total", endpoint=SMART, **backend) == 1
    assert more("runs_ended_total", endpoint=SMART, status="complete", code="none", **backend) == 1
    assert more("run_processing_seconds_count", **backend) == 1
    assert 0.9 < more("run_processing_seconds_sum", **backend) < 3
    assert more("events_total", dialect="native") == len(got)
    assert more("readings_total", dialect="native", resumed="false", whole="true") == 1
    assert more("first_event_seconds_sum", dialect="native") < 2.0
    assert after("store_missing", store="journals") == 0


def test_an_error_response_is_exported_by_its_route_pattern(server: ServerProcess):
    """A path of a client never becomes a label."""
    before = scrape(server)
    server.get("/api/runs/made-up-by-a-stranger")
    server.get("/made-up-by-a-stranger")
    server.post(SMART, {})
    after = scrape(server)
    for endpoint, status, code in (
        ("/api/runs/<run_id>", "404", "not_found"),
        ("other", "404", "not_found"),
        (SMART, "400", "invalid_request"),
    ):
        labels = {"endpoint": endpoint, "status": status, "code": code}
        assert after("refusals_total", **labels) - before("refusals_total", **labels) == 1
    assert "stranger" not in server.get("/metrics", None).text


def test_event_loop_lag_is_measured_all_the_time():
    """Four times a second; a function that computes in a greenlet increases it."""
    server = serve("tests.backends_for_tests:chosen", executor="greenlet")
    before = scrape(server)
    read(server.post(SMART, {"username": "spinning", "message": "0.8"}))
    wait_for(lambda: scrape(server)("hub_lag_seconds_count") > before("hub_lag_seconds_count") + 2)
    assert scrape(server)("hub_lag_seconds_sum") - before("hub_lag_seconds_sum") > 0.4
    assert server.stop() == 0


def test_a_thread_that_continues_is_exported_until_it_returns(measured: ServerProcess):
    """Its run has ended before, and its slot is free."""
    got = read(measured.post(SMART, {"username": "stubborn", "message": "3"}))
    assert got[-1].data["status"] == "timeout"
    seen = scrape(measured)
    assert (seen("abandoned_threads"), seen("places_taken")) == (1, 0)
    assert seen("runs_in_flight", backend="tests.backends_for_tests:chosen") == 0
    assert (seen("places"), seen("workers"), seen("workers_retired")) == (200, 1, 0)
    wait_for(lambda: scrape(measured)("abandoned_threads") == 0)


def test_without_the_library_the_response_says_what_to_install(tmp_path: Path):
    """The server runs without metrics."""
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not installed')")
    served = ServerProcess(
        ["--backend=tests.backends_for_tests:quick", "--jwt-secret=a secret of the tests, which is long enough"],
        {"PYTHONPATH": ":".join((str(tmp_path), *sys.path))},
    )
    try:
        refused = served.get("/metrics", None)
        assert refused.status_code == 404
        assert refused.json()["code"] == "not_found"
        assert "pip install 'prometheus-client" in refused.json()["error"]
        assert read(served.post(SMART, {"username": "x", "message": "Hi"}))[-1].data["status"] == "complete"
    finally:
        assert served.stop() == 0
