"""Two processes, one Redis: whatever a run needs, either of them gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import sse_client
from tests.faults.backend import answer
from tests.faults.cluster import Cluster
from tests.faults.wire import Wire
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
    """Start a run, and leave its stream open."""
    body = {"username": "x", "message": message, "locale": "en"}
    return server.post(SMART, body, headers={k.replace("_", "-"): v for k, v in headers.items()}, stream=True)


def show(server: ServerProcess, run_id: str, user: str = "alice") -> dict:
    return server.get(f"/api/runs/{run_id}", user).json()


def test_a_run_is_read_elsewhere_while_it_runs(cluster: Cluster):
    """Every character once, and the same ending."""
    first = cluster.ask("1 read elsewhere")
    first.opened.wait(10)
    second = cluster.read(first.run_id, at=1)
    assert second.result() == first.result()
    assert second.text == first.text == answer("1 read elsewhere")
    assert second.breaks == 0
    assert cluster.times_run("1 read elsewhere") == 1


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_reader_that_is_cut_at_every_event_has_every_character_once(cluster: Cluster, seconds: int):
    """It comes back each time at the other process, in any style."""
    message = f"{seconds} cut at every event"
    follower = cluster.ask(message, leaves=lambda: True)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer(message)
    assert follower.breaks > 10
    assert cluster.times_run(message) == 1


def test_a_reader_may_come_sooner_than_the_word_of_what_it_has_read(tmp_path: Path):
    """The other process asks Redis before it says that this never was; what really never was stays refused."""
    with Cluster(tmp_path, count=1) as cluster:
        wire = Wire(cluster.redis.port)
        cluster.servers.append(cluster.serve(redis_url=wire.url))
        there = cluster.servers[1]
        first = cluster.ask("1 sooner")
        assert first.opened.wait(10)
        second = cluster.read(first.run_id, at=1)
        assert second.opened.wait(10)
        wire.hold_news()
        assert first.result()["status"] == "complete"
        facts = int(first.last_id.rpartition("/")[2].split(".")[0])
        events = f"/api/runs/{first.run_id}/events"

        def come(place: str) -> requests.Response:
            return there.get(events, headers={"Last-Event-ID": f"{first.run_id}/{place}"})

        assert come(f"{facts + 1}.0").status_code == 400
        assert come(f"{facts - 1}.{len(first.text) + 1}").status_code == 400
        assert sse_client.answer(sse_client.read(come(f"{facts - 1}.5"))) == first.text[5:]
        assert come(f"{facts}.0").status_code == 204
        wire.pass_news()
        assert second.result()["status"] == "complete"
        assert second.text == first.text
        wire.close()


def test_it_is_looked_at_and_listed_elsewhere(here: ServerProcess, there: ServerProcess):
    """For its owner; for others it does not exist."""
    with start(here, "1 looked at") as response:
        run_id = response.headers["X-Run-Id"]
        wait_for(lambda: show(there, run_id)["status"] == "processing")  # it starts before that is written
        assert there.get(f"/api/runs/{run_id}", "mallory").status_code == 404
        assert there.get(f"/api/runs/{run_id}/events", "mallory").status_code == 404
        assert run_id in [run["run_id"] for run in there.get("/api/runs").json()["runs"]]
        wait_for(lambda: show(there, run_id)["status"] == "complete", 10)
    assert show(there, run_id)["data"] == answer("1 looked at")


def test_it_is_cancelled_elsewhere(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """The answer to the request shows it, every reader sees it, and the process that ran it stops."""
    follower = cluster.ask("30 to be cancelled")
    follower.opened.wait(10)
    shown = there.post(f"/api/runs/{follower.run_id}/cancel").json()
    assert (shown["status"], shown["code"]) == ("cancelled", "cancelled")
    assert follower.result(5)["status"] == "cancelled"
    assert there.post(f"/api/runs/{follower.run_id}/cancel", user="mallory").status_code == 404
    wait_for(lambda: cluster.left_over() == {}, 10)


def test_a_ticket_opens_it_elsewhere(here: ServerProcess, there: ServerProcess):
    """What EventSource is given works wherever it lands."""
    with start(here, "0 ticket") as response:
        url = show(here, response.headers["X-Run-Id"])["events_url"]
    assert there.get(url, user=None).status_code == 200
    assert there.get(url[:-1] + ("A" if url[-1] != "A" else "B"), user=None).status_code == 401


def test_a_reader_elsewhere_keeps_it_alive(cluster: Cluster, here: ServerProcess):
    """The grace counts over all readers of all processes."""
    with start(here, "6 kept alive") as response:
        run_id = response.headers["X-Run-Id"]
        follower = cluster.read(run_id, at=1)
        follower.opened.wait(10)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer("6 kept alive")


def test_without_readers_anywhere_it_is_cancelled(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """Within two graces of the last one's leaving, wherever that was."""
    with start(here, "40 abandoned") as response:
        run_id = response.headers["X-Run-Id"]
        with there.get(f"/api/runs/{run_id}/events", stream=True) as elsewhere:
            next(elsewhere.iter_lines())
    left = time.monotonic()
    wait_for(lambda: show(there, run_id)["status"] == "cancelled", 15)
    assert time.monotonic() - left > 1.9
    wait_for(lambda: cluster.left_over() == {}, 10)


def test_the_same_key_is_the_same_run_everywhere(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """While it runs and after; another body is a conflict."""
    message = "1 the same key"
    with start(here, message, Idempotency_Key="one") as first, start(there, message, Idempotency_Key="one") as second:
        assert first.headers["X-Run-Id"] == second.headers["X-Run-Id"]
        assert start(there, "1 another body", Idempotency_Key="one").status_code == 409
        run_id = first.headers["X-Run-Id"]
        wait_for(lambda: show(there, run_id)["status"] == "complete", 10)
    with start(there, message, Idempotency_Key="one") as third:
        assert third.headers["X-Run-Id"] == run_id
    assert cluster.times_run(message) == 1


def test_of_many_at_once_under_one_key_one_runs(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """Whichever process comes first."""
    found = []

    def ask(server: ServerProcess) -> None:
        with start(server, "1 many at once", Idempotency_Key="many") as response:
            found.append(response.headers["X-Run-Id"])

    threads = [threading.Thread(target=ask, args=(server,)) for server in (here, there) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert cluster.times_run("1 many at once") == 1


def test_an_automatic_retry_joins_the_run(cluster: Cluster, here: ServerProcess, there: ServerProcess):
    """SDKs send no key, but say that they try again; a person who asks twice is answered twice."""
    with start(here, "1 tried again") as first:
        with start(there, "1 tried again", X_Stainless_Retry_Count="1") as second:
            assert second.headers["X-Run-Id"] == first.headers["X-Run-Id"]
        with start(there, "1 tried again", X_Stainless_Retry_Count="0") as third:
            assert third.headers["X-Run-Id"] != first.headers["X-Run-Id"]
        with there.post(SMART, {"username": "x", "message": "1 tried again", "locale": "en"}, user="bob", stream=True,
                        headers={"X-Stainless-Retry-Count": "1"}) as other:  # fmt: skip
            assert other.headers["X-Run-Id"] not in (first.headers["X-Run-Id"], third.headers["X-Run-Id"])
    wait_for(lambda: cluster.times_run("1 tried again") == 3, 10)
