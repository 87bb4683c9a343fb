"""Who answers to which name: personas, models that are routed to a backend, or whoever there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.personas.persona import Persona


class Route(Struct, frozen=True):
    """Hold who answers: a backend, and the persona that it answers as, if it is one's name."""

    backend: Backend
    persona: Persona | None = None


class ModelRouter:
    """Know the names that clients can ask for."""

    def __init__(
        self,
        default: Backend,
        personas: Mapping[str, Persona] | None = None,
        routed: Mapping[str, Backend] | None = None,
    ) -> None:
        """Say who there is.

        Args:
            default: answers as every persona, and where there are none, to any name that nobody else has.
            personas: by username; ``None`` where any name goes through.
            routed: other backends, by the model's name. A persona of that name comes first.
        """
        self._default, self._personas, self._routed = default, personas, routed or {}

    @property
    def names(self) -> Sequence[str]:
        """Give the names that a client may choose from; never none."""
        first = [self._default.name] if self._personas is None else list(self._personas)
        return list(dict.fromkeys((*first, *self._routed)))

    @property
    def unavailable_count(self) -> int:
        """Count those that will answer nobody for a while."""
        return sum(backend.retry_after() > 0 for backend in {self._default, *self._routed.values()})

    @property
    def all_async(self) -> bool:
        """Tell whether all of them run on an event loop."""
        return all(backend.is_async for backend in (self._default, *self._routed.values()))

    @property
    def personas(self) -> Sequence[Persona]:
        """Give the personas."""
        return list((self._personas or {}).values())

    def find(self, name: str) -> Route | None:
        """Give who answers to a name, if anybody does."""
        if self._personas is not None and name in self._personas:
            return Route(self._default, self._personas[name])
        if name in self._routed:
            return Route(self._routed[name])
        return Route(self._default) if self._personas is None else None
