"""Factory of the configured backends and of the router over them."""

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from persona_stream.backends.base import Backend
from persona_stream.backends.callables import from_callable, from_import_path
from persona_stream.backends.router import ModelRouter, with_fallback
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings


def route(settings: Settings, personas: Mapping[str, Persona] | None, backends: Mapping[str, Backend]) -> ModelRouter:
    """Create a router over the backends of the settings."""
    by_model = {model: backends[config.name] for config in settings.backends for model in config.models}
    return ModelRouter(backends[DEFAULT], personas, by_model)


def build_backends(
    settings: Settings,
    personas: Mapping[str, Persona] | None,
    process_query: Callable[..., Any] | None = None,
    names: Collection[str] | None = None,
) -> dict[str, Backend]:
    """Create configured backends, with their fallbacks, by name.

    Args:
        settings: the settings.
        personas: the personas by username, for the demo backend.
        process_query: the default backend's function, in place of the one that the settings name.
        names: the backends to create; ``None`` for all.

    Raises:
        ConfigurationError: a backend cannot be created.
    """
    configs = {config.name: config for config in settings.backends}
    names = {DEFAULT, *configs} if names is None else names

    @functools.cache
    def build(name: str) -> Backend:
        config = configs.get(name)
        has_fallback = config is not None and config.fallback is not None
        if name == DEFAULT:
            if process_query is not None:
                return from_callable(process_query)
            return _build_backend(settings, personas, has_fallback=has_fallback)
        backend = _build_backend(settings.for_backend(configs[name]), None, has_fallback=has_fallback)
        return replace(backend, name=name)

    def build_with_fallback(name: str) -> Backend:
        config = configs.get(name)
        fallback = None if config is None else config.fallback
        return build(name) if fallback is None else with_fallback(build(name), build(fallback))

    return {name: build_with_fallback(name) for name in sorted(names)}


def import_paths(settings: Settings) -> Mapping[str, frozenset[str]]:
    """Return for each configured backend the import paths of its function and its fallback's; none if bundled."""
    configs = {config.name: config for config in settings.backends}
    paths = {name: settings.for_backend(config).backend for name, config in configs.items()}
    paths[DEFAULT] = settings.backend
    chains = {name: {name} for name in paths}
    for name, config in configs.items():
        if config.fallback is not None:
            chains[name].add(config.fallback)
    return {name: frozenset(paths[each] for each in chain if ":" in paths[each]) for name, chain in chains.items()}


def _build_backend(settings: Settings, personas: Mapping[str, Persona] | None, *, has_fallback: bool) -> Backend:
    # With a fallback that can answer at once, the client does not wait for retries.
    options: Any = {"timeout": settings.longest_timeout} | ({"max_attempts": 1} if has_fallback else {})
    if settings.commit_window is not None:
        # A longer delay is the client's to wait, while the status can still say so.
        options["max_wait"] = settings.commit_window
    # Each kind is imported on demand: the libraries of the others would take a fifth of the start-up time.
    match settings.backend:
        case "demo":
            from persona_stream.backends.demo import demo_backend

            return demo_backend(personas or {}, seconds=settings.demo_seconds)
        case "openai":
            if settings.openai_api == "responses":
                from persona_stream.backends.openai_responses.backend import openai_responses_backend as create
            else:
                from persona_stream.backends.openai.backend import openai_backend as create

            return create(
                base_url=settings.openai_base_url,
                api_key=settings.openai_api_key,
                model=settings.openai_model,
                stream=settings.openai_stream,
                **options,
            )
        case "anthropic":
            from persona_stream.backends.anthropic.backend import anthropic_backend

            return anthropic_backend(
                base_url=settings.anthropic_base_url,
                api_key=settings.anthropic_api_key,
                model=settings.anthropic_model,
                max_tokens=settings.anthropic_max_tokens,
                stream=settings.anthropic_stream,
                **options,
            )
        case import_path:
            return from_import_path(import_path)
