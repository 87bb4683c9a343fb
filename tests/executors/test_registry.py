"""Tests of the choice of executors."""

from __future__ import annotations

import sys

import pytest

from persona_stream.backends.base import Backend
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.process.pool import ProcessPool
from persona_stream.executors.registry import EXECUTORS, ExecutorRegistry, register_executor
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.settings.schema import Settings
from tests.executors.recording import importable

CLOSURE = Backend("closure", lambda query: "")


@pytest.mark.parametrize(
    ("name", "kind"), [("greenlet", GreenletExecutor), ("thread", ThreadExecutor), ("process", ProcessPool)]
)
def test_each_value_of_the_setting_has_an_executor(name: str, kind: type):
    """``auto`` is replaced before."""
    executor = EXECUTORS[name](Settings(threads=3), None)
    assert isinstance(executor, kind)
    assert ExecutorRegistry(executor).capacity == (None if name == "greenlet" else 3)


def test_async_backends_run_on_their_event_loop():
    """With every executor, and all of them on the same loop."""
    registry = ExecutorRegistry(ThreadExecutor(1))
    executor = registry.for_backend(Backend("b", lambda query: "", is_async=True))
    assert isinstance(executor, AsyncioExecutor)
    assert executor is registry.for_backend(Backend("c", lambda query: "", is_async=True))


def test_a_backend_that_exists_in_this_process_only_runs_here():
    """A process cannot import a closure."""
    pool = EXECUTORS["process"](Settings(), None)
    registry = ExecutorRegistry(pool)
    assert isinstance(registry.for_backend(CLOSURE), GreenletExecutor)
    assert registry.for_backend(importable("module:function")) is pool


def test_the_hint_for_a_blocked_event_loop_is_for_greenlets_only():
    """A thread does not block the loop."""
    frame = sys._getframe()
    assert ExecutorRegistry(GreenletExecutor()).on_hub_blocked(frame) == " Run it with --executor thread."
    assert ExecutorRegistry(ThreadExecutor(1)).on_hub_blocked(frame) == ""


def test_a_name_is_registered_once():
    """The bundled names are taken."""
    with pytest.raises(ValueError, match="an executor named 'auto' exists"):
        register_executor("auto", lambda settings, personas: GreenletExecutor())
