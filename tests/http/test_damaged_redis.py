"""Keys and channels of Redis that another application writes to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ServerProcess, serve
from tests.sse_client import answer, events, read

pytestmark = needs_redis
TIMEOUT = 3


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis of its own."""
    server = RedisServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server(redis: RedisServer) -> Iterator[ServerProcess]:
    """A server that keeps its runs in an empty Redis."""
    Redis.from_url(redis.url).flushall()
    process = serve("tests.backends_for_tests:chosen", redis_url=redis.url, timeout=TIMEOUT, queue_timeout=1)
    try:
        yield process
    finally:
        assert process.stop() == 0


def replace_all(client: Redis, run_id: str) -> None:
    for key in client.keys("*"):
        client.delete(key)
        client.set(key, "x")


def replace_those_of_the_run(client: Redis, run_id: str) -> None:
    for key in client.keys(f"*{run_id}*"):
        client.delete(key)
        client.set(key, "x")


def add_a_foreign_fact(client: Redis, run_id: str) -> None:
    client.xadd(f"persona_stream:{{{run_id}}}:facts", {"a": "b"})


@pytest.mark.parametrize("damage", [replace_all, replace_those_of_the_run, add_a_foreign_fact])
def test_the_deadline_ends_a_stream_whatever_the_store_holds(redis: RedisServer, server: ServerProcess, damage) -> None:
    """The ending cannot be stored or read; later requests and the shutdown are not affected."""
    response = server.post("/api/stream_chat_smart", {"username": "slow", "message": "1"}, stream=True)
    stream = events(response)
    next(stream)
    damage(Redis.from_url(redis.url), response.headers["X-Run-Id"])
    began = time.monotonic()
    assert list(stream)[-1].data["status"] == "timeout"
    assert time.monotonic() - began < TIMEOUT + 1 + 5 + 2
    assert server.get("/healthz").status_code == 200
    if damage is not replace_all:
        assert server.post("/api/chat", {"username": "quick", "message": "Hi"}).status_code == 200


def test_foreign_messages_are_ignored(redis: RedisServer, server: ServerProcess) -> None:
    """The channels go on."""
    client = Redis.from_url(redis.url)
    response = server.post("/api/stream_chat_smart", {"username": "slow", "message": "1"}, stream=True)
    for channel in client.pubsub_channels("*"):
        for message in (b"garbage", b"\xff\xfe x y", b"", b"a b c"):
            client.publish(channel, message)
    got = read(response)
    assert got[-1].data["status"] == "complete"
    assert answer(got)
