"""Backends: user functions, model providers and the demo, behind one interface."""

from persona_stream.backends.base import Backend, Capability

__all__ = ["Backend", "Capability"]
