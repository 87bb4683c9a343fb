"""Faults of Celery workers, over HTTP: workers and Redis that are killed, and runs that outlive their server."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from celery import Celery

from tests.celery_worker import CeleryWorker
from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ROOT, ServerProcess, serve, token
from tests.sse_client import answer, events, read

pytestmark = [needs_redis, pytest.mark.timeout(180)]

SMART = "/api/stream_chat_smart"
BACKEND = "tests.faults.celery_backend:ask"
LEASE = 6


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


class Cluster:
    """Servers and Celery workers that share a Redis; what the test has not ended stops with it, without a failure."""

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self._stack = ExitStack()

    def start_server(self, **settings: object) -> ServerProcess:
        server = serve("demo", executor="celery", redis_url=self.redis.url, lease=LEASE, **settings)
        self._stack.callback(self._stop, server)
        return server

    def start_worker(self, concurrency: int, *options: str, backend: str = BACKEND, cwd: Path = ROOT) -> CeleryWorker:
        worker = CeleryWorker(backend, self.redis.url, concurrency, f"--lease={LEASE}", *options, cwd=cwd)
        self._stack.callback(self._stop, worker)
        worker.wait_until_ready()
        return worker

    def wait_for_slots(self, server: ServerProcess, slots: int) -> None:
        """Wait until a server knows workers with so many slots."""
        wait_for(lambda: sum(each["slots"] for each in server.get("/readyz").json().get("workers", ())) == slots)

    def close(self) -> None:
        self._stack.close()

    @staticmethod
    def _stop(started: ServerProcess | CeleryWorker) -> None:
        if started.process.poll() is None:
            assert started.stop() == 0


@pytest.fixture
def cluster(redis: RedisServer) -> Iterator[Cluster]:
    cluster = Cluster(redis)
    yield cluster
    cluster.close()


def ask(server: ServerProcess, message: str, **more: object):
    return server.post(SMART, {"username": "x", "message": message, **more}, stream=True)


def test_runs_wait_for_workers_and_tell_their_place(cluster: Cluster):
    """The server starts without workers, and says so; the first worker takes the runs in turn."""
    server = cluster.start_server()
    assert "no Celery worker is running" in server.get("/readyz").json()["problems"][0]
    streams = [events(ask(server, f"sleep 0.{number}")) for number in range(3)]
    assert next(streams[2]).data["status"] == "initializing"
    cluster.start_worker(1)
    endings = [list(stream)[-1].data["status"] for stream in streams]
    assert endings == ["complete"] * 3
    ready = server.get("/readyz").json()
    assert "problems" not in ready
    assert [each["slots"] for each in ready["workers"]] == [1]
    headers = {"Authorization": f"Bearer {token('boss', scope='admin')}"}
    listed = requests.get(f"{server.url}/dashboard/api/workers", headers=headers, timeout=10).json()["workers"]
    assert [(each["pool"], each["slots"], each["queues"]) for each in listed] == [("prefork", 1, ["persona_stream"])]


def test_servers_forecast_from_the_runs_of_all_workers(cluster: Cluster):
    """The runs of one server are known to the other, and one that was cancelled there counts as well."""
    here, there = cluster.start_server(), cluster.start_server()
    cluster.start_worker(2)
    cluster.wait_for_slots(here, 2)
    for _ in range(5):
        assert here.post("/api/chat", {"username": "x", "message": "sleep 0.3"}).status_code == 200
    stream = events(ask(here, "sleep 30"))
    run_id = next(stream).data["run_id"]
    wait_for(lambda: here.get(f"/api/runs/{run_id}").json()["status"] == "processing")
    assert there.post(f"/api/runs/{run_id}/cancel", {}).status_code == 200
    assert list(stream)[-1].data["status"] == "cancelled"
    for server in (here, there):
        wait_for(lambda server=server: server.get("/api/forecast?username=x").json()["runs"] == 6)
    assert 0.2 < there.get("/api/forecast?username=x").json()["expected"] < 5.0


def test_every_run_ends_once_when_a_worker_and_redis_are_killed(cluster: Cluster, tmp_path: Path):
    """Of 200 runs over three workers none runs twice; the killed worker's end with ``lost`` within the lease."""
    workers = [cluster.start_worker(4) for _ in range(3)]
    server = cluster.start_server(max_runs_per_user=500)
    cluster.wait_for_slots(server, 12)
    ledger = tmp_path / "ledger"
    ledger.mkdir()

    def run(number: int) -> tuple[str, float]:
        # Not with `read`: during the outage, comments tell that the stream waits.
        lines = ask(server, f"record {ledger / str(number)}").iter_lines(decode_unicode=True)
        ending = json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))
        return ending.get("code") or ending["status"], time.monotonic()

    with ThreadPoolExecutor(200) as pool:
        began = time.monotonic()
        pending = [pool.submit(run, number) for number in range(200)]
        time.sleep(3)  # into the middle
        workers[0].kill()
        killed_at = time.monotonic()
        time.sleep(2)
        cluster.redis.kill()
        time.sleep(0.5)
        cluster.redis.start()
        results = [each.result() for each in pending]
    counted = Counter(code for code, _ in results)
    assert set(counted) <= {"complete", "lost"}, counted
    assert 1 <= counted["lost"] <= 4, counted
    assert max(at for code, at in results if code == "lost") - killed_at < 2.5 * LEASE + 3  # with the outage
    ran = Counter(file.read_text().count("ran\n") for file in ledger.iterdir())
    assert set(ran) == {1}, f"a query ran twice: {ran}"
    assert ran[1] >= 200 - counted["lost"]  # a run may be lost before its query begins
    assert time.monotonic() - began < 90


def test_a_killed_process_of_a_worker_loses_only_its_run(cluster: Cluster, tmp_path: Path):
    """Its run ends within the lease, and Celery starts another process."""
    cluster.start_worker(2)
    server = cluster.start_server()
    cluster.wait_for_slots(server, 2)
    doomed = events(ask(server, f"pid {tmp_path / 'pid'}"))
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert list(doomed)[-1].data["code"] == "lost"
    assert time.monotonic() - began < 2 * LEASE
    assert answer(read(ask(server, "sleep 0"))) == "slept"


def test_an_identical_question_follows_the_run_of_another_server(cluster: Cluster, tmp_path: Path):
    """The query runs once, also if its server is killed meanwhile."""
    cluster.start_worker(4)
    first, second = (cluster.start_server(cache="10m") for _ in range(2))
    cluster.wait_for_slots(first, 4)
    cluster.wait_for_slots(second, 4)
    message = f"record {tmp_path / 'ledger'} 3"
    streams = [events(ask(server, message)) for server in (first, second, second)]
    for stream in streams:
        assert [next(stream).data["status"] for _ in range(2)] == ["initializing", "processing"]
    wait_for((tmp_path / "ledger").exists)
    first.process.kill()
    followers = [list(stream) for stream in streams[1:]]
    assert [answer(follower) for follower in followers] == ["recorded", "recorded"]
    assert all(follower[-1].data["cached"] for follower in followers)
    assert (tmp_path / "ledger").read_text() == "ran\n"
    first.stop()


def test_a_question_runs_when_the_run_that_it_follows_is_cancelled(cluster: Cluster, tmp_path: Path):
    """A worker takes it although it has started, also if the first message is lost."""
    worker = cluster.start_worker(2)
    server = cluster.start_server(cache="10m")
    cluster.wait_for_slots(server, 2)
    message = f"record {tmp_path / 'ledger'} 3"
    leader = ask(server, message)
    wait_for((tmp_path / "ledger").exists)
    stream = events(ask(server, message))
    assert [next(stream).data["status"] for _ in range(2)] == ["initializing", "processing"]
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert server.post(f"/api/runs/{leader.headers['X-Run-Id']}/cancel", {}).status_code == 200
    wait_for(lambda: cluster.redis.client().lpop("persona_stream"))
    os.kill(worker.process.pid, signal.SIGCONT)
    follower = list(stream)
    assert answer(follower) == "recorded"
    assert "cached" not in follower[-1].data
    percents = [event.data["progress"] for event in follower if event.data["status"] == "processing"]
    assert percents == sorted(percents)
    assert (tmp_path / "ledger").read_text() == "ran\nran\n"


@pytest.mark.parametrize("is_server_killed", [False, True])
def test_one_of_several_followers_runs_when_the_run_that_they_follow_is_cancelled(
    cluster: Cluster, tmp_path: Path, is_server_killed: bool
):
    """The others follow that one, also if nobody releases the claim of the cancelled run."""
    cluster.start_worker(8)
    first, second = (cluster.start_server(cache="10m") for _ in range(2))
    cluster.wait_for_slots(first, 8)
    cluster.wait_for_slots(second, 8)
    message = f"record {tmp_path / 'ledger'} 3"
    leader = ask(first, message)
    wait_for((tmp_path / "ledger").exists)
    streams = [events(ask(second, message)) for _ in range(3)]
    for stream in streams:
        assert [next(stream).data["status"] for _ in range(2)] == ["initializing", "processing"]
    if is_server_killed:
        first.process.kill()
    canceller = second if is_server_killed else first
    assert canceller.post(f"/api/runs/{leader.headers['X-Run-Id']}/cancel", {}).status_code == 200
    followers = [list(stream) for stream in streams]
    assert [answer(follower) for follower in followers] == ["recorded"] * 3
    assert sum("cached" in follower[-1].data for follower in followers) == 2
    assert (tmp_path / "ledger").read_text() == "ran\nran\n"
    if is_server_killed:
        first.stop()


def test_a_run_outlives_its_server(cluster: Cluster):
    """Another server goes on with the stream: the worker appends the facts."""
    cluster.start_worker(1)
    first, second = cluster.start_server(), cluster.start_server()
    cluster.wait_for_slots(first, 1)
    response = ask(first, "words 4")
    run_id = response.headers["X-Run-Id"]
    stream = events(response)
    next(event for event in stream if event.data["status"] == "streaming")
    first.process.kill()
    resumed = read(second.get(f"/api/runs/{run_id}/events", stream=True))
    assert resumed[-1].data["status"] == "complete"
    assert answer(resumed) == "".join(f"word {number} " for number in range(40))
    first.stop()


def test_a_server_that_stops_leaves_its_runs_to_the_workers(cluster: Cluster):
    """It does not end them with ``draining``."""
    cluster.start_worker(1)
    server = cluster.start_server(drain=1)
    cluster.wait_for_slots(server, 1)
    run_id = ask(server, "words 3").headers["X-Run-Id"]
    assert server.stop() == 0
    other = cluster.start_server()
    assert read(other.get(f"/api/runs/{run_id}/events", stream=True))[-1].data["status"] == "complete"


def test_an_answer_over_the_limit_fails(cluster: Cluster):
    """Whether it is sent or returned; the code is stopped."""
    cluster.start_worker(1)
    server = cluster.start_server(max_answer_bytes=1000)
    cluster.wait_for_slots(server, 1)
    for message in ("flood", "large"):
        assert read(ask(server, message))[-1].data["code"] == "answer_too_large"
    assert answer(read(ask(server, "sleep 0"))) == "slept"


def test_the_deadline_ends_code_that_does_not_stop(cluster: Cluster):
    """The worker writes the end at the deadline, and kills its process."""
    cluster.start_worker(1, "--timeout=2")
    server = cluster.start_server(timeout=2)
    cluster.wait_for_slots(server, 1)
    got = read(ask(server, "spin 60"))
    assert got[-1].data["status"] == "timeout"
    assert got[-1].data["elapsed_time"] < 3.5
    assert answer(read(ask(server, "sleep 0"))) == "slept"


def test_a_worker_serves_the_backends_of_its_queues(cluster: Cluster, tmp_path: Path):
    """Another worker serves the rest."""
    file = tmp_path / "settings.toml"
    file.write_text(f'[backends.careful]\nbackend = "{BACKEND}"\nmodels = ["careful"]\n')
    plain = cluster.start_worker(1, f"--config={file}", "--queues=persona_stream")
    careful = cluster.start_worker(1, f"--config={file}", "--queues=persona_stream.careful")
    server = cluster.start_server(config=file)
    cluster.wait_for_slots(server, 2)
    pids = []
    for number, username in enumerate(("x", "careful")):
        path = tmp_path / str(number)
        server.post(SMART, {"username": username, "message": f"pid {path}"}, stream=True)
        wait_for(lambda path=path: path.exists() and path.read_text())
        pids.append(int(path.read_text()))
    assert [pids[0] in plain.children(), pids[1] in careful.children()] == [True, True]
    plain.kill()
    careful.kill()


def test_prefork_is_unpatched_and_imports_the_backend_after_the_fork(cluster: Cluster, tmp_path: Path):
    """So CUDA is initialized in the process that uses it, and native threads and processes work."""
    (tmp_path / "importing.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from tests.executors.worker.native_backends import ask\n"
        f"(Path({str(tmp_path)!r}) / f'imported-{{os.getpid()}}').touch()\n"
    )
    worker = cluster.start_worker(2, backend="importing:ask", cwd=tmp_path)
    server = cluster.start_server()
    cluster.wait_for_slots(server, 2)
    imported = {int(file.name.removeprefix("imported-")) for file in tmp_path.glob("imported-*")}
    assert imported == set(worker.children())
    names = ("log_and_lock", "subprocess", "asyncio_run", "current_event_loop", "fork return", "pool", "own_threads")
    for name in (*names, "asyncio_subprocess", "patch_with_gevent"):
        streams = [ask(server, name) for _ in range(4)]
        assert [answer(read(stream)) for stream in streams] == [f"{name.split()[0]} worked"] * 4


def test_a_run_that_no_worker_takes_fails_after_the_queue_timeout(cluster: Cluster):
    """Its worker hangs, or its message was lost."""
    worker = cluster.start_worker(1)
    server = cluster.start_server(queue_timeout=3)
    cluster.wait_for_slots(server, 1)
    os.kill(worker.process.pid, signal.SIGSTOP)  # the process that receives messages; the lease is renewed by its child
    began = time.monotonic()
    assert read(ask(server, "sleep 0"))[-1].data["code"] == "timeout"
    assert 2.5 < time.monotonic() - began < 3 + LEASE
    os.kill(worker.process.pid, signal.SIGCONT)
    time.sleep(1)  # until the message has arrived, which starts nothing any more
    assert answer(read(ask(server, "sleep 0"))) == "slept"


def test_a_message_that_the_broker_loses_is_sent_again(cluster: Cluster):
    """As by a Redis that was killed just when it delivered it."""
    server = cluster.start_server()
    worker = cluster.start_worker(1)
    cluster.wait_for_slots(server, 1)
    os.kill(worker.process.pid, signal.SIGSTOP)
    stream = events(ask(server, "sleep 0"))
    next(stream)
    wait_for(lambda: cluster.redis.client().lpop("persona_stream"))
    os.kill(worker.process.pid, signal.SIGCONT)
    assert list(stream)[-1].data["status"] == "complete"


def test_a_pickled_message_is_refused(cluster: Cluster, tmp_path: Path):
    """Nothing in it is executed, and the worker goes on."""
    worker = cluster.start_worker(1)
    server = cluster.start_server()
    cluster.wait_for_slots(server, 1)
    sender = Celery("sender", broker=cluster.redis.url, set_as_current=False)
    bomb = type("Bomb", (), {"__reduce__": lambda self: (Path.touch, (tmp_path / "executed",))})()
    sender.send_task("persona_stream.run", args=[bomb], queue="persona_stream", serializer="pickle")
    sender.close()
    wait_for(lambda: "ContentDisallowed" in worker.log)
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert not (tmp_path / "executed").exists()


def test_a_worker_whose_backend_cannot_be_imported_stops(cluster: Cluster, tmp_path: Path):
    """With the traceback, and without taking a run."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no model file')\n")
    worker = CeleryWorker("broken:ask", cluster.redis.url, 2, cwd=tmp_path)
    worker.process.wait(30)
    assert "no model file" in worker.log
    worker._output.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--pool=threads"], "pool threads cannot stop a query: use prefork, or gevent"),
        (["--pool=solo"], "pool must be prefork or gevent, not solo"),
    ],
)
def test_other_pools_are_refused(cluster: Cluster, options: list[str], text: str):
    """With the reason."""
    worker = CeleryWorker(BACKEND, cluster.redis.url, 1, *options)
    assert worker.process.wait(20) == 2
    assert text in worker.log
    worker._output.close()
