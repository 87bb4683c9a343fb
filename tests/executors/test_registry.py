"""Tests of the registry of executors, and of the specifications of backends."""

from __future__ import annotations

import logging
import sys

import pytest

from persona_stream.backends.base import Backend
from persona_stream.errors import ConfigurationError
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.local import GreenletExecutor, ThreadExecutor
from persona_stream.executors.process.pool import ProcessPool
from persona_stream.executors.registry import EXECUTORS, ExecutorRegistry, build_execution, register_executor
from persona_stream.settings.schema import BackendConfig, Settings
from tests.executors.recording import importable

ASK = "tests.executors.process.sample_backends:ask"
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


def test_a_function_is_sent_by_its_import_path_and_a_bundled_backend_by_its_name():
    """A pair of a backend and its fallback is created from the settings too."""
    settings = Settings(
        backend=ASK,
        backends=(
            BackendConfig("demos", {"backend": "demo"}, ("d",)),
            BackendConfig("pair", {}, ("p",), fallback="default"),
        ),
    )
    router, _ = build_execution(settings, None, None)
    specs = [router.find(name).backend.spec for name in ("anything", "d", "p")]
    assert [(spec.name, spec.import_path) for spec in specs] == [("default", ASK), ("demos", None), ("pair", None)]


def test_a_function_that_is_passed_has_no_specification():
    """It exists in this process only, so the process executor refuses it."""
    router, _ = build_execution(Settings(), None, lambda message: message)
    assert router.find("anything").backend.spec is None
    with pytest.raises(ConfigurationError, match="executor process imports the backend in worker processes"):
        build_execution(Settings(executor="process"), None, lambda message: message)


def test_auto_means_greenlet_with_a_warning(caplog: pytest.LogCaptureFixture):
    """The name is still accepted."""
    logger = logging.getLogger("persona_stream")
    logger.addHandler(caplog.handler)
    try:
        router, executors = build_execution(Settings(executor="auto"), None, None)
    finally:
        logger.removeHandler(caplog.handler)
    assert isinstance(executors.for_backend(router.find("anything").backend), GreenletExecutor)
    assert {record.getMessage() for record in caplog.records} == {
        "executor auto is deprecated and means greenlet: set executor to greenlet, thread or process"
    }
