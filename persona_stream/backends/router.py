"""Router: maps the names that clients request to backends and personas; fallback from one backend to another."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.errors import BackendUnavailable, ConfigurationError
from persona_stream.personas.persona import Persona

logger = logging.getLogger("persona_stream.backends")


class Route(Struct, frozen=True):
    """Backend for a name, and the persona if the name is a persona's."""

    backend: Backend
    persona: Persona | None = None


class ModelRouter:
    """Router over the configured backends and personas.

    Args:
        default: answers for the personas, or without personas, for every name that has no other backend.
        personas: the personas by username; ``None`` accepts any name.
        by_model: other backends by model name. A persona with the same name takes precedence.
    """

    def __init__(
        self,
        default: Backend,
        personas: Mapping[str, Persona] | None = None,
        by_model: Mapping[str, Backend] | None = None,
    ) -> None:
        self._default = default
        self._personas = personas
        self._by_model = by_model or {}

    @property
    def names(self) -> Sequence[str]:
        """The names that a client may choose from; never empty."""
        default_names = [self._default.name] if self._personas is None else list(self._personas)
        return list(dict.fromkeys((*default_names, *self._by_model)))

    @property
    def default(self) -> Backend | None:
        """The backend that answers requests without a name; ``None`` if they must name a persona."""
        return self._default if self._personas is None else None

    @property
    def backends(self) -> Sequence[Backend]:
        """The backends, each once; the default backend comes first."""
        return list(dict.fromkeys((self._default, *self._by_model.values())))

    def replace(self, old: Backend, new: Backend) -> None:
        """Answer with another backend in place of ``old``."""
        self._default = new if self._default is old else self._default
        self._by_model = {model: new if backend is old else backend for model, backend in self._by_model.items()}

    @property
    def unavailable_count(self) -> int:
        """Number of backends that are unavailable at the moment."""
        return sum(backend.retry_after() > 0 for backend in self.backends)

    @property
    def personas(self) -> Sequence[Persona]:
        """The configured personas."""
        return list((self._personas or {}).values())

    def find(self, name: str) -> Route | None:
        """Return the route for a name, or ``None`` if the name is unknown."""
        if self._personas is not None and name in self._personas:
            return Route(self._default, self._personas[name])
        if name in self._by_model:
            return Route(self._by_model[name])
        return Route(self._default) if self._personas is None else None


def with_fallback(primary: Backend, fallback: Backend) -> Backend:
    """Create a backend that asks ``fallback``, once, when ``primary`` raises ``BackendUnavailable``.

    Raises:
        ConfigurationError: only one of them runs on an event loop.
    """
    if primary.is_async != fallback.is_async:
        raise ConfigurationError(f"{fallback.name} cannot be the fallback of {primary.name}: only one of them is async")

    def log_fallback(error: BackendUnavailable) -> None:
        logger.warning("%s is unavailable (%s): falling back to %s", primary.name, error, fallback.name)

    def process_query(query: Query) -> object:
        try:
            return primary.process_query(query)
        except BackendUnavailable as error:
            log_fallback(error)
        return fallback.process_query(query)

    async def process_query_async(query: Query) -> object:
        try:
            return await cast("Any", primary.process_query(query))
        except BackendUnavailable as error:
            log_fallback(error)
        return await cast("Any", fallback.process_query(query))

    return Backend(
        primary.name,
        process_query_async if primary.is_async else process_query,
        primary.is_async,
        primary.capabilities & fallback.capabilities,
        retry_after=lambda: min(primary.retry_after(), fallback.retry_after()),
        title=primary.title,
        ideas=primary.ideas,
    )
