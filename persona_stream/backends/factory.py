"""Make the backends that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from persona_stream.backends.base import Backend
from persona_stream.backends.callables import from_callable, from_import_path
from persona_stream.backends.fallback import with_fallback
from persona_stream.backends.router import ModelRouter
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings


def build_router(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None = None
) -> ModelRouter:
    """Make every backend that the settings name, and say which names each answers to. Raises as ``backends``."""
    return route(settings, personas, build_backends(settings, personas, process_query))


def route(settings: Settings, personas: Mapping[str, Persona] | None, answering: Mapping[str, Backend]) -> ModelRouter:
    """Say which names each of these backends answers to."""
    by_model = {model: answering[each.name] for each in settings.backends for model in each.models}
    return ModelRouter(answering[DEFAULT], personas, by_model)


def build_backends(
    settings: Settings, personas: Mapping[str, Persona] | None, process_query: Callable[..., Any] | None = None
) -> Mapping[str, Backend]:
    """Make every backend that the settings name, each with the one that takes over.

    Raises:
        ConfigurationError: one of them cannot be made; the text says what to do.
    """
    backed = {each.name for each in settings.backends if each.fallback is not None}
    default = from_callable(process_query) if process_query else _backend(settings, personas, DEFAULT in backed)
    others = [each for each in settings.backends if each.name != DEFAULT]
    made = {DEFAULT: default} | {
        each.name: replace(_backend(settings.for_backend(each), None, each.name in backed), name=each.name)
        for each in others
    }
    answering = dict(made)
    for each in settings.backends:
        if each.fallback is not None:
            answering[each.name] = with_fallback(made[each.name], made[each.fallback])
    return answering


def _backend(settings: Settings, personas: Mapping[str, Persona] | None, is_backed: bool) -> Backend:
    # Where somebody else can answer at once, nobody shall wait for this one to come round.
    more: Any = {"tries": 1} if is_backed else {}
    # Only what answers is imported: the others' libraries would be a fifth of the time that a start takes.
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
                timeout=settings.timeout,
                **more,
            )
        case "anthropic":
            from persona_stream.backends.anthropic.backend import anthropic_backend

            return anthropic_backend(
                base_url=settings.anthropic_base_url,
                api_key=settings.anthropic_api_key,
                model=settings.anthropic_model,
                max_tokens=settings.anthropic_max_tokens,
                stream=settings.anthropic_stream,
                timeout=settings.timeout,
                **more,
            )
        case spec:
            return from_import_path(spec)
