"""Faults of Celery workers, over HTTP: workers and Redis that are killed, and runs that outlive their server."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from celery import Celery

from tests.celery_worker import CeleryWorker
from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ServerProcess, serve, token
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


def start_server(redis: RedisServer, **settings: object) -> ServerProcess:
    return serve("demo", executor="celery", redis_url=redis.url, lease=LEASE, **settings)


def start_worker(redis: RedisServer, concurrency: int = 2, *options: str) -> CeleryWorker:
    worker = CeleryWorker(BACKEND, redis.url, concurrency, f"--lease={LEASE}", *options)
    worker.wait_until_ready()
    return worker


def ask(server: ServerProcess, message: str, **more: object):
    return server.post(SMART, {"username": "x", "message": message, **more}, stream=True)


def test_runs_wait_for_workers_and_tell_their_place(redis: RedisServer):
    """The server starts without workers, and says so; the first worker takes the runs in turn."""
    server = start_server(redis)
    assert "no Celery worker is running" in server.get("/readyz").json()["problems"][0]
    streams = [events(ask(server, f"sleep 0.{number}")) for number in range(3)]
    assert next(streams[2]).data["status"] == "initializing"
    worker = start_worker(redis, 1)
    endings = [list(stream)[-1].data["status"] for stream in streams]
    assert endings == ["complete"] * 3
    ready = server.get("/readyz").json()
    assert "problems" not in ready
    assert [each["slots"] for each in ready["workers"]] == [1]
    headers = {"Authorization": f"Bearer {token('boss', scope='admin')}"}
    listed = requests.get(f"{server.url}/dashboard/api/workers", headers=headers, timeout=10).json()["workers"]
    assert [(each["pool"], each["slots"], each["queues"]) for each in listed] == [("prefork", 1, ["persona_stream"])]
    assert server.stop() == 0
    assert worker.stop() == 0


def test_every_run_ends_once_when_a_worker_and_redis_are_killed(redis: RedisServer, tmp_path: Path):
    """Of 200 runs over three workers none runs twice; the killed worker's end with ``lost`` within the lease."""
    workers = [start_worker(redis, 4) for _ in range(3)]
    server = start_server(redis, max_runs_per_user=500)
    wait_for(lambda: sum(each["slots"] for each in server.get("/readyz").json().get("workers", [])) == 12)
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
        redis.kill()
        time.sleep(0.5)
        redis.start()
        results = [each.result() for each in pending]
    counted = Counter(code for code, _ in results)
    assert set(counted) <= {"complete", "lost"}, counted
    assert 1 <= counted["lost"] <= 4, counted
    assert max(at for code, at in results if code == "lost") - killed_at < 2.5 * LEASE + 3  # with the outage
    ran = Counter(file.read_text().count("ran\n") for file in ledger.iterdir())
    assert set(ran) == {1}, f"a query ran twice: {ran}"
    assert ran[1] == 200
    assert time.monotonic() - began < 90
    assert server.stop() == 0
    for worker in workers[1:]:
        assert worker.stop() == 0


def test_a_killed_process_of_a_worker_loses_only_its_run(redis: RedisServer, tmp_path: Path):
    """Its run ends within the lease, and Celery starts another process."""
    worker = start_worker(redis, 2)
    server = start_server(redis)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    doomed = events(ask(server, f"pid {tmp_path / 'pid'}"))
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert list(doomed)[-1].data["code"] == "lost"
    assert time.monotonic() - began < 2 * LEASE
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_run_outlives_its_server(redis: RedisServer):
    """Another server goes on with the stream: the worker appends the facts."""
    worker = start_worker(redis, 1)
    first, second = start_server(redis), start_server(redis)
    wait_for(lambda: first.get("/readyz").json().get("workers"))
    response = ask(first, "words 4")
    run_id = response.headers["X-Run-Id"]
    stream = events(response)
    next(event for event in stream if event.data["status"] == "streaming")
    first.process.kill()
    resumed = read(second.get(f"/api/runs/{run_id}/events", stream=True))
    assert resumed[-1].data["status"] == "complete"
    assert answer(resumed) == "".join(f"word {number} " for number in range(40))
    first.stop()
    assert second.stop() == 0
    assert worker.stop() == 0


def test_a_server_that_stops_leaves_its_runs_to_the_workers(redis: RedisServer):
    """It does not end them with ``draining``."""
    worker = start_worker(redis, 1)
    server = start_server(redis, drain=1)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    run_id = ask(server, "words 3").headers["X-Run-Id"]
    assert server.stop() == 0
    other = start_server(redis)
    assert read(other.get(f"/api/runs/{run_id}/events", stream=True))[-1].data["status"] == "complete"
    assert other.stop() == 0
    assert worker.stop() == 0


def test_an_answer_over_the_limit_fails(redis: RedisServer):
    """Whether it is sent or returned; the code is stopped."""
    worker = start_worker(redis, 1)
    server = start_server(redis, max_answer_bytes=1000)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    for message in ("flood", "large"):
        assert read(ask(server, message))[-1].data["code"] == "answer_too_large"
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert server.stop() == 0
    assert worker.stop() == 0


def test_the_deadline_ends_code_that_does_not_stop(redis: RedisServer):
    """The worker writes the end at the deadline, and kills its process."""
    worker = start_worker(redis, 1, "--timeout=2")
    server = start_server(redis, timeout=2)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    got = read(ask(server, "spin 60"))
    assert got[-1].data["status"] == "timeout"
    assert got[-1].data["elapsed_time"] < 3.5
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_worker_serves_the_backends_of_its_queues(redis: RedisServer, tmp_path: Path):
    """Another worker serves the rest."""
    file = tmp_path / "settings.toml"
    file.write_text(f'[backends.careful]\nbackend = "{BACKEND}"\nmodels = ["careful"]\n')
    plain = start_worker(redis, 1, f"--config={file}", "--queues=persona_stream")
    careful = start_worker(redis, 1, f"--config={file}", "--queues=persona_stream.careful")
    server = start_server(redis, config=file)
    wait_for(lambda: len(server.get("/readyz").json().get("workers", ())) == 2)
    pids = []
    for number, username in enumerate(("x", "careful")):
        path = tmp_path / str(number)
        server.post(SMART, {"username": username, "message": f"pid {path}"}, stream=True)
        wait_for(lambda path=path: path.exists() and path.read_text())
        pids.append(int(path.read_text()))
    assert [pids[0] in plain.children(), pids[1] in careful.children()] == [True, True]
    plain.kill()
    careful.kill()
    assert server.stop() == 0


def test_prefork_is_unpatched_and_imports_the_backend_after_the_fork(redis: RedisServer, tmp_path: Path):
    """So CUDA is initialized in the process that uses it, and native threads and processes work."""
    (tmp_path / "importing.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from tests.executors.worker.native_backends import ask\n"
        f"(Path({str(tmp_path)!r}) / f'imported-{{os.getpid()}}').touch()\n"
    )
    worker = CeleryWorker("importing:ask", redis.url, 2, f"--lease={LEASE}", cwd=tmp_path)
    worker.wait_until_ready()
    server = start_server(redis)
    wait_for(lambda: len(server.get("/readyz").json().get("workers", ())) == 2)
    imported = {int(file.name.removeprefix("imported-")) for file in tmp_path.glob("imported-*")}
    assert imported == set(worker.children())
    names = ("log_and_lock", "subprocess", "asyncio_run", "current_event_loop", "fork return", "pool", "own_threads")
    for name in (*names, "asyncio_subprocess", "patch_with_gevent"):
        streams = [ask(server, name) for _ in range(4)]
        assert [answer(read(stream)) for stream in streams] == [f"{name.split()[0]} worked"] * 4
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_run_that_no_worker_takes_fails_after_the_queue_timeout(redis: RedisServer):
    """Its worker hangs, or its message was lost."""
    worker = start_worker(redis, 1)
    server = start_server(redis, queue_timeout=3)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    os.kill(worker.process.pid, signal.SIGSTOP)  # the process that receives messages; the lease is renewed by its child
    began = time.monotonic()
    assert read(ask(server, "sleep 0"))[-1].data["code"] == "timeout"
    assert 2.5 < time.monotonic() - began < 3 + LEASE
    os.kill(worker.process.pid, signal.SIGCONT)
    time.sleep(1)  # until the message has arrived, which starts nothing any more
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_message_that_the_broker_loses_is_sent_again(redis: RedisServer):
    """As by a Redis that was killed just when it delivered it."""
    server = start_server(redis)
    worker = start_worker(redis, 1)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    os.kill(worker.process.pid, signal.SIGSTOP)
    stream = events(ask(server, "sleep 0"))
    next(stream)
    wait_for(lambda: redis.client().lpop("persona_stream"))
    os.kill(worker.process.pid, signal.SIGCONT)
    assert list(stream)[-1].data["status"] == "complete"
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_pickled_message_is_refused(redis: RedisServer, tmp_path: Path):
    """Nothing in it is executed, and the worker goes on."""
    worker = start_worker(redis, 1)
    server = start_server(redis)
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    sender = Celery("sender", broker=redis.url, set_as_current=False)
    bomb = type("Bomb", (), {"__reduce__": lambda self: (Path.touch, (tmp_path / "executed",))})()
    sender.send_task("persona_stream.run", args=[bomb], queue="persona_stream", serializer="pickle")
    sender.close()
    wait_for(lambda: "ContentDisallowed" in worker.log)
    assert answer(read(ask(server, "sleep 0"))) == "slept"
    assert not (tmp_path / "executed").exists()
    assert server.stop() == 0
    assert worker.stop() == 0


def test_a_worker_whose_backend_cannot_be_imported_stops(redis: RedisServer, tmp_path: Path):
    """With the traceback, and without taking a run."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no model file')\n")
    worker = CeleryWorker("broken:ask", redis.url, 2, cwd=tmp_path)
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
def test_other_pools_are_refused(redis: RedisServer, options: list[str], text: str):
    """With the reason."""
    worker = CeleryWorker(BACKEND, redis.url, 1, *options)
    assert worker.process.wait(20) == 2
    assert text in worker.log
    worker._output.close()
