"""The answer cache on real servers: hits, questions that are being answered, and answers that are never repeated."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.documents import API
from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import answer, read

SMART = "/api/stream_chat_smart"
BACKEND = "tests.http.counting_backend:answer"


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a cache and a request log."""
    state = tmp_path_factory.mktemp("state")
    server = serve(BACKEND, cache="10m", state_dir=state, database_url="sqlite:///")
    server.state = state
    yield server
    assert server.stop() == 0


def chat(server: ServerProcess, message: str, user: str = "alice", **more: object) -> dict[str, object]:
    """Return the body of /api/chat."""
    body = {"username": "x", "message": message, **more}
    return server.post("/api/chat", body, user=user).json()


def test_the_same_question_gives_the_same_answer_at_once(cached: ServerProcess):
    """On every address; a hit is marked in the last event and in a header, and takes less than 5 ms of the server."""
    first = cached.post("/api/chat", {"username": "x", "message": "Same question", "locale": "en"})
    assert "X-Persona-Cache" not in first.headers
    assert "cached" not in first.json()
    again = cached.post("/api/chat", {"username": "x", "message": "Same question", "locale": "en"})
    assert again.headers["X-Persona-Cache"] == "hit"
    assert (again.json()["data"], again.json()["cached"]) == (first.json()["data"], True)
    assert again.json()["run_id"] != first.json()["run_id"]
    streamed = cached.post(SMART, {"username": "x", "message": "Same question", "locale": "en"})
    assert streamed.headers["X-Persona-Cache"] == "hit"
    events = read(streamed)
    assert (answer(events), events[-1].data["cached"]) == (first.json()["data"], True)
    assert [event.data["status"] for event in events][:3] == ["initializing", "processing", "processing_complete"]
    openai = {"model": "x", "messages": [{"role": "user", "content": "Same question"}]}
    response = cached.post("/v1/chat/completions", openai)
    assert response.headers["X-Persona-Cache"] == "hit"
    assert response.json()["choices"][0]["message"]["content"] == first.json()["data"]


def test_a_hit_is_fast(cached: ServerProcess):
    """The run ends within 5 ms of its acceptance, as the log records them: the best of some, on a busy machine."""
    chat(cached, "Fast question")
    run_ids = [chat(cached, "Fast question")["run_id"] for _ in range(5)]
    file = sqlite3.connect(cached.state / "persona_stream.sqlite")
    query = "SELECT ended_at - accepted_at FROM runs WHERE cached AND run_id = ?"

    def durations() -> list[float]:
        return [row[0] for each in run_ids for row in file.execute(query, (each,)) if row[0] is not None]

    wait_for(lambda: len(durations()) == len(run_ids))
    assert min(durations()) < 0.005
    cached.wait_for_log("answered from the cache")


def test_another_question_user_or_language_is_not_a_hit(cached: ServerProcess):
    """The key is everything that the answer may depend on."""
    bodies = [{}, {"prompt": "Be brief."}, {"locale": "en"}, {"username": "y"}, {"message": "Another question"}]
    answers = [chat(cached, **{"message": "A question", **body})["data"] for body in bodies]
    answers.append(chat(cached, "A question", user="bob")["data"])
    assert len(set(answers)) == len(answers)


def test_the_documented_request_runs_anew(cached: ServerProcess):
    """With ``Cache-Control: no-cache``; its answer serves later questions."""
    [block] = [each.body for each in API.snippets() if (each.heading, each.language) == ("Cached answers", "python")]
    scope: dict[str, object] = {"URL": cached.url, "TOKEN": token("doc")}
    exec(block, scope)
    assert scope["first"]["data"] == scope["again"]["data"] != scope["anew"]["data"]
    assert scope["again"]["cached"] is True
    assert "cached" not in scope["anew"]


def test_what_continues_a_conversation_or_fails_is_not_kept(cached: ServerProcess):
    """Nor a question that brings its own history."""
    talk = [chat(cached, "Go on", conversation_id="talk")["data"] for _ in range(2)]
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    body = {"model": "x", "messages": [*history, {"role": "user", "content": "Go on"}]}
    replies = [cached.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"] for _ in range(2)]
    failures = [chat(cached, "fail now")["error"] for _ in range(2)]
    for pair in (talk, replies, failures):
        assert pair[0] != pair[1]


def started(server: ServerProcess, message: str, **more: object) -> requests.Response:
    """Return the stream of a run whose backend is working."""
    response = server.post(SMART, {"username": "x", "message": message, **more}, stream=True)
    run_id = response.headers["X-Run-Id"]
    wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["started_at"])
    return response


def test_a_question_in_progress_runs_the_backend_once(cached: ServerProcess):
    """The second run follows the first: its progress, and then its answer."""
    responses = [started(cached, "slow 2.5 together") for _ in range(3)]
    streams: list[list[object]] = [[], [], []]
    threads = [threading.Thread(target=lambda n=n: streams[n].extend(read(responses[n]))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({answer(events) for events in streams}) == 1
    assert len({events[0].data["run_id"] for events in streams}) == 3
    assert ["cached" in events[-1].data for events in streams] == [False, True, True]
    for events in streams:
        assert "Halfway there" in [event.data.get("message") for event in events]


@pytest.mark.parametrize("number", [0, 1])
def test_cancelling_one_of_them_does_not_cancel_the_other(cached: ServerProcess, number: int):
    """If it is the first, the second asks the backend itself."""
    both = [started(cached, f"slow 1.5 cancelled {number}") for _ in range(2)]
    cached.post(f"/api/runs/{both[number].headers['X-Run-Id']}/cancel")
    statuses = [read(response)[-1].data["status"] for response in both]
    assert statuses[number] == "cancelled"
    assert statuses[1 - number] == "complete"


def test_the_deadline_of_the_first_is_not_that_of_the_second(cached: ServerProcess):
    """The second then asks the backend itself."""
    both = [started(cached, "slow 1.5 hurried", timeout=1), started(cached, "slow 1.5 hurried")]
    assert [read(response)[-1].data["status"] for response in both] == ["timeout", "complete"]


def test_the_failure_of_the_first_is_that_of_the_second(cached: ServerProcess):
    """The backend is not asked once for each of them."""
    both: list[object] = []
    threads = [threading.Thread(target=lambda: both.append(chat(cached, "fail together"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert both[0]["error"] == both[1]["error"]


def test_questions_whose_answers_may_not_be_repeated_do_not_wait_for_each_other(cached: ServerProcess):
    """The first answer is cut short: then all others ask the backend at the same time."""
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: chat(cached, "short 1.5 together")["data"], range(6)))
    assert len(set(answers)) == 6
    assert time.monotonic() - began < 5 * 1.5


def test_a_shared_cache_serves_all_users(tmp_path: Path):
    """With ``cache_shared``; and a cached answer expires."""
    server = serve(BACKEND, cache="1s", cache_shared="on")
    first = chat(server, "For all", user="alice")["data"]
    assert chat(server, "For all", user="bob")["data"] == first
    wait_for(lambda: chat(server, "For all", user="bob")["data"] != first)
    assert server.stop() == 0


@needs_redis
def test_processes_share_the_cache_in_redis():
    """Answers, and questions that another process is answering."""
    redis = RedisServer()
    try:
        servers = [serve(BACKEND, cache="10m", redis_url=redis.url) for _ in range(2)]
        try:
            first = chat(servers[0], "Between processes")
            wait_for(lambda: redis.client().keys("persona_stream:answer:*"))
            again = chat(servers[1], "Between processes")
            assert (again["data"], again["cached"]) == (first["data"], True)
            one = started(servers[0], "slow 2 between")
            other = started(servers[1], "slow 2 between")
            assert answer(read(one)) == answer(read(other))
            one = started(servers[0], "slow 2 cancelled between")
            other = started(servers[1], "slow 2 cancelled between")
            servers[1].post(f"/api/runs/{one.headers['X-Run-Id']}/cancel")
            assert read(other)[-1].data["status"] == "complete"
        finally:
            assert [server.stop() for server in servers] == [0, 0]
    finally:
        redis.close()
