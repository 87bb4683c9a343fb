"""Factory of the backends and their executors, for the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from persona_stream.backends.base import Backend, BackendSpec
from persona_stream.backends.factory import build_backends, route
from persona_stream.backends.router import ModelRouter
from persona_stream.errors import ConfigurationError
from persona_stream.executors.registry import EXECUTORS, ExecutorRegistry
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings

logger = logging.getLogger("persona_stream.executors")


def build_execution(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None
) -> tuple[ModelRouter, ExecutorRegistry]:
    """Create the backends and the executors of the settings.

    Raises:
        ConfigurationError: a backend cannot be created, or cannot run in the executor.
    """
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
