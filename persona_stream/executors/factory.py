"""Make what answers, and choose where each of it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from persona_stream.backends.factory import build_backends, route
from persona_stream.backends.router import ModelRouter
from persona_stream.errors import ConfigurationError
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.registry import BLOCKING_HINT, AutoExecutors, ExecutorRegistry
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import Settings


def build_execution(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None
) -> tuple[ModelRouter, ExecutorRegistry]:
    """Make what answers, and where it does."""
    answering = build_backends(settings, personas, process_query)
    match settings.executor:
        case "thread":
            executors = ExecutorRegistry(ThreadExecutor(settings.threads))
        case "auto":
            executors = AutoExecutors(settings.threads)
        case "process":
            if process_query is not None:
                raise ConfigurationError(
                    "executor process has the backend imported in processes of their own, so it needs its name: set"
                    " backend to module:function, and leave process_query out"
                )
            from persona_stream.executors.process.pool import ProcessPool, pool_sizes

            # The default is meant for threads, which weigh nothing.
            most, ready = pool_sizes(None if settings.threads == Settings().threads else settings.threads)
            make = partial(build_backends, settings, personas)
            processes = ProcessPool(make, most=most, ready=ready, max_answer_bytes=settings.max_answer_bytes)
            answering = {
                name: backend if backend.is_async else processes.backend(name, backend)
                for name, backend in answering.items()
            }
            prepare = processes.prepare if any(not each.is_async for each in answering.values()) else lambda: None
            executors = ExecutorRegistry(processes, prepare=prepare, close=processes.close)
        case _:
            executors = ExecutorRegistry(GreenletExecutor(), BLOCKING_HINT)
    return route(settings, personas, answering), executors
