"""Registry of executors: by name for the setting ``executor``, and by backend for its queries.

To add an executor, pass its factory to ``register_executor`` before the settings are loaded. ``build_execution``
creates the backends of the settings together with their executors.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any

from persona_stream.backends.base import Backend, BackendSpec
from persona_stream.backends.factory import build_backends, route
from persona_stream.backends.router import ModelRouter
from persona_stream.errors import ConfigurationError
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.base import Executor
from persona_stream.executors.local import GreenletExecutor, ThreadExecutor
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings
from persona_stream.settings.types import EXECUTOR_NAMES

logger = logging.getLogger("persona_stream.executors")

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
    """Register an executor as a value of the setting ``executor``; raise ``ValueError`` if the name is taken."""
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


def build_execution(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None
) -> tuple[ModelRouter, ExecutorRegistry]:
    """Create the backends and executors of the settings; raise ``ConfigurationError`` if they do not fit."""
    name = settings.executor
    if name == "auto":
        logger.warning("executor auto is deprecated and means greenlet: set executor to greenlet, thread or process")
        name = "greenlet"
    if name == "process" and process_query is not None:
        raise ConfigurationError(
            "executor process imports the backend in worker processes, so it needs an import path: set backend to"
            " module:function instead of passing process_query"
        )
    backends = build_backends(settings, personas, process_query)
    specs = _build_specs(settings, backends)
    if process_query is not None:
        del specs[DEFAULT]  # exists in this process only
    bound = {key: replace(backend, spec=specs.get(key)) for key, backend in backends.items()}
    return route(settings, personas, bound), ExecutorRegistry(EXECUTORS[name](settings, personas))


def _build_specs(settings: Settings, backends: Mapping[str, Backend]) -> dict[str, BackendSpec]:
    configs = {each.name: each for each in settings.backends}
    specs = {}
    for key, backend in backends.items():
        config = configs.get(key)
        path = settings.backend if config is None else settings.for_backend(config).backend
        # A bundled backend is created from the settings, and so is a pair of a backend and its fallback.
        is_importable = ":" in path and (config is None or config.fallback is None)
        specs[key] = BackendSpec(key, path if is_importable else None, backend.capabilities)
    return specs
