"""Backend for providers with the Anthropic Messages API."""

from persona_stream.backends.anthropic.backend import anthropic_backend

__all__ = ["anthropic_backend"]
