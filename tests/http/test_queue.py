"""Tests of the queue over HTTP: positions in the stream, timeouts, and slots that are released."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess, serve
from tests.sse_client import events, read

SMART = "/api/stream_chat_smart"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def one() -> Iterator[ServerProcess]:
    """Server with one slot, and a queue of two."""
    served = serve(
        "tests.backends_for_tests:chosen", max_runs=1, max_queue=2, queue_timeout=6, timeout=12, max_answer_bytes=10**6
    )
    yield served
    assert served.stop() == 0


def ask(server: ServerProcess, seconds: str, user: str = "alice"):
    return server.post(SMART, {"username": "slow", "message": seconds}, user=user, stream=True)


def cancel(server: ServerProcess, response, user: str = "alice"):
    return server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel", user=user)


def test_a_waiting_run_reports_its_position_until_it_starts(one: ServerProcess):
    """At once and at every interval; its deadline counts from the start."""
    with ask(one, "5") as first, ask(one, "0", "bob") as second:
        run = f"/api/runs/{second.headers['X-Run-Id']}"
        waits = one.get(run, user="bob").json()
        assert (waits["status"], waits["started_at"]) == ("queued", None)
        got = read(second)
        statuses = [event.data["status"] for event in got]
        assert statuses[:3] == ["initializing", "queued", "queued"]
        assert statuses[statuses.count("queued") + 1] == "processing"
        assert statuses[-1] == "complete"
        assert {event.data["position"] for event in got if event.data["status"] == "queued"} == {1}
        assert got[1].data["elapsed_time"] < 1.9 <= got[2].data["elapsed_time"]
        assert got[-1].data["total_time"] >= 1.0
        assert read(first)[-1].data["status"] == "complete"


def test_a_run_that_waits_for_too_long_times_out(one: ServerProcess):
    """The queue has a timeout of its own; /api/chat answers with its status."""
    with ask(one, "11") as first:
        began = time.monotonic()
        answered = one.post("/api/chat", {"username": "slow", "message": "0"}, user="bob")
        assert (answered.status_code, answered.json()["code"]) == (504, "timeout")
        assert 5.5 < time.monotonic() - began < 10.5
        cancel(one, first)


def test_a_run_can_be_cancelled_while_it_waits(one: ServerProcess):
    """It ends at once, and never starts."""
    with ask(one, "11") as first, ask(one, "0", "bob") as second:
        assert cancel(one, second, "bob").json()["status"] == "cancelled"
        statuses = [event.data["status"] for event in events(second)]
        assert statuses[-1] == "cancelled"
        assert "processing" not in statuses
        cancel(one, first)


def test_a_request_is_refused_when_the_queue_is_full(one: ServerProcess):
    """With a Retry-After header."""
    held = [ask(one, "11"), ask(one, "0", "bob"), ask(one, "0", "carol")]
    refused = ask(one, "0", "dave")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    for response, user in zip(held, ("alice", "bob", "carol"), strict=True):
        cancel(one, response, user)
        response.close()


def test_other_protocols_report_the_queue_too(one: ServerProcess):
    """OpenAI clients get comments, Anthropic clients pings."""
    body = {"model": "slow", "messages": [{"role": "user", "content": "0"}], "stream": True}
    with ask(one, "5"):
        openai = one.post(CHAT, body, user="bob", stream=True)
        anthropic = one.post("/v1/messages", {**body, "max_tokens": 9}, user="carol", stream=True)
        assert b"\n: queued " in openai.content.replace(b"\n\n", b"\n")
        assert b": processing" in openai.content
        assert anthropic.content.count(b"event: ping") >= 2
        assert b"message_stop" in anthropic.content


@pytest.mark.parametrize(
    ("username", "message", "status"),
    [
        ("quick", "Hi", "complete"),
        ("failing", "deliberate", "error"),
        ("failing", "exception", "error"),
        ("failing", "exit", "error"),
        ("failing", "nothing", "error"),
        ("failing", "huge", "error"),
        ("slow", "20", "timeout"),
        ("slow", "20", "cancelled"),
    ],
)
def test_the_slot_is_released_after_every_kind_of_ending(one: ServerProcess, username: str, message: str, status: str):
    """Once: the next run starts at once, and the one after it waits."""
    for _ in range(1 if status == "timeout" else 2):
        with one.post(SMART, {"username": username, "message": message}, stream=True) as response:
            if status == "cancelled":
                cancel(one, response)
            assert list(events(response))[-1].data["status"] == status
    with ask(one, "20") as begins, ask(one, "0", "bob") as waits:
        assert next(event.data for event in list_until(begins, 2))["status"] == "initializing"
        assert [event.data["status"] for event in list_until(waits, 2)] == ["initializing", "queued"]
        cancel(one, begins)


def list_until(response, count: int):
    """Return the first ``count`` events."""
    got = []
    for event in events(response):
        got.append(event)
        if len(got) == count:
            break
    return got


def test_a_retry_that_joins_a_run_takes_no_slot(one: ServerProcess):
    """Also while the run waits."""
    headers = {"Idempotency-Key": f"key-{time.time()}"}
    with ask(one, "2") as first:
        runs = [
            one.post(SMART, {"username": "slow", "message": "0"}, user="bob", stream=True, headers=headers)
            for _ in range(3)
        ]
        assert len({response.headers["X-Run-Id"] for response in runs}) == 1
        assert {read(response)[-1].data["status"] for response in runs} == {"complete"}
        assert read(first)[-1].data["status"] == "complete"
