"""Backends: what answers a query."""

from persona_stream.backends.base import Backend, Capability

__all__ = ["Backend", "Capability"]
