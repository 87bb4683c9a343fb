"""Two processes that share a Redis: each can serve any run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests import sse_client
from tests.faults.cluster import Cluster
from tests.faults.recording_backend import answer
from tests.faults.slow_proxy import SlowProxy
from tests.metrics_client import scrape
from tests.polling import wait_for
from tests.redis_server import needs_redis
from tests.server_process import ServerProcess

pytestmark = needs_redis

SMART = "/api/stream_chat_smart"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), disconnect_grace=2, retention="60s") as cluster:
        yield cluster


@pytest.fixture
def here(cluster: Cluster) -> ServerProcess:
    return cluster.servers[0]


@pytest.fixture
def there(cluster: Cluster) -> ServerProcess:
    return cluster.servers[1]


def start(server: ServerProcess, message: str, **headers: str):
    """Start a run and return its open stream."""
    body = {"username": "x", "message": message, "locale": "en"}
    return server.post(SMART, body, headers={k.replace("_", "-"): v for k, v in headers.items()}, stream=True)


def show(server: ServerProcess, run_id: str, user: str = "alice") -> dict:
    return server.get(f"/api/runs/{run_id}", user).json()


def test_a_run_can_be_read_at_another_process(cluster: Cluster):
    """Each character once, with the same final event."""
    first = cluster.ask("1 read elsewhere")
    first.opened.wait(10)
    second = cluster.read(first.run_id, at=1)
    assert second.result() == first.result()
    assert second.text == first.text == answer("1 read elsewhere")
    assert second.breaks == 0
    assert cluster.times_run("1 read elsewhere") == 1


def test_a_long_poll_at_another_process_is_answered_when_the_run_has_ended(here: ServerProcess, there: ServerProcess):
    """It counts as a subscriber of the run there."""
    message = "5 polled elsewhere"
    response = start(here, message)
    run_id = response.headers["X-Run-Id"]
    early = there.get(f"/api/runs/{run_id}", params={"wait": 1})
    assert (early.json()["status"], "Retry-After" in early.headers) == ("processing", True)
    response.close()
    done = there.get(f"/api/runs/{run_id}", params={"wait": 30})
    assert (done.json()["status"], done.json()["data"]) == ("complete", answer(message))
    assert "Retry-After" not in done.headers


def test_a_long_poll_is_handed_over_at_shutdown(tmp_path: Path):
    """It is answered at once with the state of the run, which another process continues to show."""
    with Cluster(tmp_path) as cluster:
        here, there = cluster.servers
        response = start(here, "8 handed over")
        run_id = response.headers["X-Run-Id"]
        with ThreadPoolExecutor(1) as pool:
            polling = pool.submit(there.get, f"/api/runs/{run_id}", params={"wait": 60})
            wait_for(lambda: scrape(there)("open_streams") == 1)
            there.process.terminate()
            assert polling.result().json()["status"] == "processing"
        assert here.get(f"/api/runs/{run_id}", params={"wait": 60}).json()["status"] == "complete"
        assert there.process.wait(timeout=20) == 0


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_client_that_disconnects_at_each_event_receives_each_character_once(cluster: Cluster, seconds: int):
    """It resumes alternately at both processes."""
    message = f"{seconds} cut at every event"
    follower = cluster.ask(message, leaves=lambda: True)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer(message)
    assert follower.breaks > 10
    assert cluster.times_run(message) == 1


def test_a_client_may_resume_before_the_pubsub_message_arrives(tmp_path: Path):
    """The other process reads Redis before it rejects a position; positions that do not exist are rejected."""
    with Cluster(tmp_path, count=1) as cluster:
        proxy = SlowProxy(cluster.redis.port)
        cluster.servers.append(cluster.serve(redis_url=proxy.url))
        there = cluster.servers[1]
        first = cluster.ask("1 sooner")
        assert first.opened.wait(10)
        second = cluster.read(first.run_id, at=1)
        assert second.opened.wait(10)
        proxy.hold_messages()
        assert first.result()["status"] == "complete"
        facts = int(first.last_id.rpartition("/")[2].split(".")[0])
        events = f"/api/runs/{first.run_id}/events"

        def resume(position: str) -> requests.Response:
            return there.get(events, headers={"Last-Event-ID": f"{first.run_id}/{position}"})

        assert resume(f"{facts + 1}.0").status_code == 400
        assert resume(f"{facts - 1}.{len(first.text) + 1}").status_code == 400
        assert sse_client.answer(sse_client.read(resume(f"{facts - 1}.5"))) == first.text[5:]
        assert resume(f"{facts}.0").status_code == 204
        proxy.release_messages()
        assert second.result()["status"] == "complete"
        assert second.text == first.text
        proxy.close()


def test_a_run_is_shown_and_listed_at_another_process(here: ServerProcess, there: ServerProcess):
    """For its owner only."""
    with start(here, "1 looked at") as response:
        run_id = response.headers["X-Run-Id"]
        wait_for(lambda: show(there, run_id)["status"] == "processing")  # the start is written asynchronously
        assert there.get(f"/api/runs/{run_id}", "mallory").status_code == 404
        assert there.get(f"/api/runs/{run_id}/events", "mallory").status_code == 404
        assert run_id in [run["run_id"] for run in there.get("/api/runs").json()["runs"]]
        wait_for(lambda: show(there, run_id)["status"] == "complete", 10)
    assert show(there, run_id)["data"] == answer("1 looked at")


def test_a_run_can_be_cancelled_at_another_process(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """The response shows it, all subscribers receive it, and the executing process stops the task."""
    follower = cluster.ask("30 to be cancelled")
    follower.opened.wait(10)
    shown = there.post(f"/api/runs/{follower.run_id}/cancel").json()
    assert (shown["status"], shown["code"]) == ("cancelled", "cancelled")
    assert follower.result(5)["status"] == "cancelled"
    assert there.post(f"/api/runs/{follower.run_id}/cancel", user="mallory").status_code == 404
    wait_for(lambda: cluster.left_over() == {}, 10)


def test_a_signed_url_is_valid_at_another_process(here: ServerProcess, there: ServerProcess):
    """EventSource clients may reach any process."""
    with start(here, "0 ticket") as response:
        url = show(here, response.headers["X-Run-Id"])["events_url"]
    assert there.get(url, user=None).status_code == 200
    assert there.get(url[:-1] + ("A" if url[-1] != "A" else "B"), user=None).status_code == 401


def test_a_subscriber_at_another_process_keeps_a_run_alive(cluster: Cluster, here: ServerProcess):
    """The disconnect grace applies to the subscribers of all processes."""
    with start(here, "6 kept alive") as response:
        run_id = response.headers["X-Run-Id"]
        follower = cluster.read(run_id, at=1)
        follower.opened.wait(10)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer("6 kept alive")


def test_a_run_without_subscribers_anywhere_is_cancelled(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """Within twice the disconnect grace."""
    with start(here, "40 abandoned") as response:
        run_id = response.headers["X-Run-Id"]
        with there.get(f"/api/runs/{run_id}/events", stream=True) as elsewhere:
            next(elsewhere.iter_lines())
    left = time.monotonic()
    wait_for(lambda: show(there, run_id)["status"] == "cancelled", 15)
    assert time.monotonic() - left > 1.9
    wait_for(lambda: cluster.left_over() == {}, 10)


def test_an_idempotency_key_applies_to_all_processes(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """During and after the run; another body is a conflict."""
    message = "1 the same key"
    with start(here, message, Idempotency_Key="one") as first, start(there, message, Idempotency_Key="one") as second:
        assert first.headers["X-Run-Id"] == second.headers["X-Run-Id"]
        assert start(there, "1 another body", Idempotency_Key="one").status_code == 409
        run_id = first.headers["X-Run-Id"]
        wait_for(lambda: show(there, run_id)["status"] == "complete", 10)
    with start(there, message, Idempotency_Key="one") as third:
        assert third.headers["X-Run-Id"] == run_id
    assert cluster.times_run(message) == 1


def test_concurrent_requests_with_one_key_start_one_run(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """At any of the processes."""
    run_ids = []

    def ask(server: ServerProcess) -> None:
        with start(server, "1 many at once", Idempotency_Key="many") as response:
            run_ids.append(response.headers["X-Run-Id"])

    threads = [threading.Thread(target=ask, args=(server,)) for server in (here, there) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(run_ids) == 16
    assert len(set(run_ids)) == 1
    assert cluster.times_run("1 many at once") == 1


def test_an_automatic_retry_joins_the_run(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """SDKs send a retry header instead of a key; a repeated request without it starts another run."""
    with start(here, "1 tried again") as first:
        with start(there, "1 tried again", X_Stainless_Retry_Count="1") as second:
            assert second.headers["X-Run-Id"] == first.headers["X-Run-Id"]
        with start(there, "1 tried again", X_Stainless_Retry_Count="0") as third:
            assert third.headers["X-Run-Id"] != first.headers["X-Run-Id"]
        with there.post(SMART, {"username": "x", "message": "1 tried again", "locale": "en"}, user="bob", stream=True,
                        headers={"X-Stainless-Retry-Count": "1"}) as other:  # fmt: skip
            assert other.headers["X-Run-Id"] not in (first.headers["X-Run-Id"], third.headers["X-Run-Id"])
    wait_for(lambda: cluster.times_run("1 tried again") == 3, 10)
