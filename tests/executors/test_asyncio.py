"""Tests of the asyncio executor."""

from __future__ import annotations

import asyncio
import time

import gevent
import pytest

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, Returned
from persona_stream.executors.asyncio import AsyncioExecutor
from tests.executors.contract import ExecutorContract
from tests.executors.process.sample_backends import ask
from tests.executors.recording import submit


def async_backend(process_query) -> Backend:
    return Backend("b", process_query, is_async=True)


class TestContract(ExecutorContract):
    @pytest.fixture
    def executor(self) -> AsyncioExecutor:
        return AsyncioExecutor()

    @pytest.fixture
    def backend(self) -> Backend:
        async def ask_async(query: Query) -> object:
            if query.message == "cooperate":
                await asyncio.sleep(60)
            return ask(query)

        return async_backend(ask_async)


def test_async_code_runs_on_an_event_loop():
    """With its own sleeps and threads."""

    async def process_query(query: Query) -> str:
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(lambda: "from a thread")

    _, callbacks = submit(AsyncioExecutor(), async_backend(process_query))
    assert callbacks.released.get(timeout=5) == Returned("from a thread")


def test_an_exception_in_to_thread_is_raised_where_it_is_awaited():
    """As asyncio does."""

    def fail() -> None:
        raise ValueError("no")

    async def process_query(query: Query) -> str:
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(fail)
        return "caught"

    _, callbacks = submit(AsyncioExecutor(), async_backend(process_query))
    assert callbacks.released.get(timeout=5) == Returned("caught")


def test_many_async_queries_share_one_loop():
    """They wait at the same time."""

    async def process_query(query: Query) -> str:
        await asyncio.sleep(0.2)
        return "done"

    executor = AsyncioExecutor()
    began = time.monotonic()
    all_callbacks = [submit(executor, async_backend(process_query))[1] for _ in range(200)]
    assert [each.released.get(timeout=5) for each in all_callbacks] == [Returned("done")] * 200
    assert time.monotonic() - began < 5.0, "one after another they would take 40 seconds"


def test_async_code_is_cancelled_where_it_awaits():
    """It has no result, and its ``finally`` blocks run."""
    cleaned = []

    async def process_query(query: Query) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    task, callbacks = submit(AsyncioExecutor(), async_backend(process_query))
    gevent.sleep(0.05)
    assert task.cancel()
    assert callbacks.released.get(timeout=5) is None
    assert cleaned == [True]


def test_async_code_that_cancels_itself_has_failed():
    """The run must not wait for its deadline."""

    async def process_query(query: Query) -> None:
        raise asyncio.CancelledError

    _, callbacks = submit(AsyncioExecutor(), async_backend(process_query))
    assert isinstance(callbacks.released.get(timeout=5), Raised)
