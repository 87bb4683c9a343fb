"""Factory of the configured backends and of the router over them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from persona_stream.backends.base import Backend
from persona_stream.backends.callables import from_callable, from_import_path
from persona_stream.backends.router import ModelRouter, with_fallback
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings


def build_router(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None = None
) -> ModelRouter:
    """Create all configured backends and a router over them. Raises the errors of ``build_backends``."""
    return route(settings, personas, build_backends(settings, personas, process_query))


def route(settings: Settings, personas: Mapping[str, Persona] | None, backends: Mapping[str, Backend]) -> ModelRouter:
    """Create a router over the given backends."""
    by_model = {model: backends[config.name] for config in settings.backends for model in config.models}
    return ModelRouter(backends[DEFAULT], personas, by_model)


def build_backends(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None = None
) -> Mapping[str, Backend]:
    """Create all configured backends, with their fallbacks, by name.

    Args:
        settings: the settings.
        personas: the personas by username, for the demo backend.
        process_query: the default backend's function, in place of the one that the settings name.

    Raises:
        ConfigurationError: a backend cannot be created.
    """
    with_fallbacks = {config.name for config in settings.backends if config.fallback is not None}
    backends: dict[str, Backend] = {}
    if process_query:
        backends[DEFAULT] = from_callable(process_query)
    else:
        backends[DEFAULT] = _build_backend(settings, personas, has_fallback=DEFAULT in with_fallbacks)
    for config in settings.backends:
        if config.name != DEFAULT:
            own = settings.for_backend(config)
            backend = _build_backend(own, None, has_fallback=config.name in with_fallbacks)
            backends[config.name] = replace(backend, name=config.name)
    fallbacks = {
        config.name: with_fallback(backends[config.name], backends[config.fallback])
        for config in settings.backends
        if config.fallback is not None
    }
    return backends | fallbacks


def _build_backend(settings: Settings, personas: Mapping[str, Persona] | None, *, has_fallback: bool) -> Backend:
    # With a fallback that can answer at once, the client does not wait for retries.
    options: Any = {"timeout": settings.timeout} | ({"max_attempts": 1} if has_fallback else {})
    # Each kind is imported on demand: the libraries of the others would take a fifth of the start-up time.
    match settings.backend:
        case "demo":
            from persona_stream.backends.demo import demo_backend

            return demo_backend(personas or {}, seconds=settings.demo_seconds)
        case "openai":
            from persona_stream.backends.openai.backend import openai_backend

            return openai_backend(
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
