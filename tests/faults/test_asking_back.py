"""Questions to the user when servers share a Redis: any of them shows and answers them, and may be restarted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.celery_worker import CeleryWorker
from tests.faults.cluster import Cluster
from tests.polling import wait_for
from tests.redis_server import needs_redis
from tests.server_process import ServerProcess
from tests.sse_client import ReceivedEvent, answer, events, read

pytestmark = needs_redis

BACKEND = "tests.http.asking_backend:ask"
TIMES = ("elapsed_time", "expires_in")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), backend=BACKEND) as cluster:
        yield cluster


def follow(server: ServerProcess, run_id: str) -> Iterator[ReceivedEvent]:
    """Yield the events of a run that another server executes."""
    return events(server.get(f"/api/runs/{run_id}/events", stream=True))


def next_question(stream: Iterator[ReceivedEvent]) -> dict[str, object]:
    return next(event.data for event in stream if event.data["status"] == "input_required")


def start(server: ServerProcess, message: str) -> tuple[str, Iterator[ReceivedEvent]]:
    """Start a run; return its id and its events."""
    stream = events(server.post("/api/stream_chat_smart", {"message": message, "locale": "en"}, stream=True))
    return next(stream).data["run_id"], stream


def reply(server: ServerProcess, run_id: str, question: dict[str, object], value: str) -> int:
    body = {"input_id": question["input_id"], "value": value}
    return server.post(f"/api/runs/{run_id}/input", body).status_code


def test_another_server_shows_and_answers_a_question_after_its_restart(cluster: Cluster):
    """The first answer counts, at whichever server; a later subscriber sees no question."""
    run_id, own = start(cluster.servers[0], "which 100")
    question = next_question(own)
    foreign = follow(cluster.servers[1], run_id)
    assert next_question(foreign)["input_id"] == question["input_id"]
    cluster.servers[1].process.kill()
    cluster.servers[1].stop()
    cluster.servers[1] = cluster.serve()
    foreign = follow(cluster.servers[1], run_id)
    assert next_question(foreign) == {**question, **{name: pytest.approx(question[name], abs=60) for name in TIMES}}
    assert reply(cluster.servers[1], run_id, question, "c.txt") == 400
    assert reply(cluster.servers[1], run_id, question, "b.txt") == 200
    assert reply(cluster.servers[0], run_id, question, "a.txt") == 409
    assert [answer(list(stream)) for stream in (own, foreign)] == ["You chose b.txt.", "You chose b.txt."]
    again = read(cluster.servers[1].get(f"/api/runs/{run_id}/events", stream=True))
    assert "input_required" not in {event.data["status"] for event in again}


def test_a_long_answer_at_another_server_arrives(cluster: Cluster):
    """Redis only announces it, since it is longer than a message."""
    run_id, own = start(cluster.servers[0], "name 100")
    assert reply(cluster.servers[1], run_id, next_question(own), "x" * 32_768) == 200
    assert cluster.servers[1].get(f"/api/runs/{run_id}?wait=30").json()["data"] == f"Hello, {'x' * 32_768}!"


def test_a_timeout_is_seen_by_all_servers(cluster: Cluster):
    """The backend goes on without an answer, and no server accepts one."""
    run_id, own = start(cluster.servers[0], "which 1")
    foreign = follow(cluster.servers[1], run_id)
    question = next_question(own)
    assert [list(stream)[-2].data["data"] for stream in (own, foreign)] == ["No file was chosen."] * 2
    assert [reply(server, run_id, question, "a.txt") for server in cluster.servers] == [409, 409]


@pytest.mark.heavy
def test_a_question_of_a_celery_worker_outlives_the_server_of_its_run(cluster: Cluster):
    """Another server shows it, and the worker receives the answer that is given there."""
    worker = CeleryWorker(BACKEND, cluster.redis.url, 2, "--pool=prefork")
    server = cluster.serve(executor="celery")
    worker.wait_until_ready()
    wait_for(lambda: server.get("/readyz").json().get("workers"))
    run_id, own = start(server, "which 100")
    question = next_question(own)
    server.process.kill()
    server.stop()
    assert reply(cluster.servers[0], run_id, question, "b.txt") == 200
    assert answer(read(cluster.servers[1].get(f"/api/runs/{run_id}/events", stream=True))) == (
        "Let me see. You chose b.txt."
    )
    assert worker.stop() == 0
