"""Registry of executors: by name for the setting ``executor``, and by backend for its queries.

To add an executor, pass its factory to ``register_executor`` before the settings are loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import FrameType

from persona_stream.backends.base import Backend
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.base import Executor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import Settings
from persona_stream.settings.types import EXECUTOR_NAMES

ExecutorFactory = Callable[[Settings, Mapping[str, Persona] | None], Executor]

BLOCKING_HINT = " Run it with --executor thread."
"""Remedy for a backend that blocks the event loop, if it runs in a greenlet."""


def _create_process_pool(settings: Settings, personas: Mapping[str, Persona] | None) -> Executor:
    from persona_stream.executors.process.pool import ProcessPool

    return ProcessPool.from_settings(settings, personas)


EXECUTORS: dict[str, ExecutorFactory] = {
    "greenlet": lambda settings, personas: GreenletExecutor(),
    "thread": lambda settings, personas: ThreadExecutor(settings.threads),
    "process": _create_process_pool,
}


def register_executor(name: str, factory: ExecutorFactory) -> None:
    """Register an executor as a value of the setting ``executor``.

    Raises:
        ValueError: the name is taken.
    """
    if name in EXECUTOR_NAMES:
        raise ValueError(f"an executor named {name!r} exists")
    EXECUTORS[name] = factory
    EXECUTOR_NAMES.append(name)


class ExecutorRegistry:
    """Executors of this process: the one of the settings, asyncio for async backends, greenlets for the rest."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._asyncio = functools.cache(AsyncioExecutor)
        self._greenlets = functools.cache(GreenletExecutor)

    @property
    def capacity(self) -> int | None:
        """Maximum number of concurrent queries of the settings' executor, if it is limited."""
        return self._executor.capacity

    def for_backend(self, backend: Backend) -> Executor:
        """Return the executor of a backend's queries."""
        if backend.is_async:
            return self._asyncio()
        return self._executor if self._executor.accepts(backend) else self._greenlets()

    def on_hub_blocked(self, frame: FrameType) -> str:
        """Return the remedy for a backend that blocks the event loop. Any thread may call this."""
        return BLOCKING_HINT if isinstance(self._executor, GreenletExecutor) else ""

    def warm_up(self) -> None:
        """Prepare for the first query; called in the process that serves, when it starts to."""
        self._executor.warm_up()

    def close(self) -> None:
        """Release all resources."""
        self._executor.close()
