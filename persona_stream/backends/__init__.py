"""Backends: what answers a query."""

from persona_stream.backends.base import Ability, Backend

__all__ = ["Ability", "Backend"]
