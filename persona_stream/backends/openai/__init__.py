"""Backend for providers with the OpenAI Chat Completions API."""

from persona_stream.backends.openai.backend import openai_backend

__all__ = ["openai_backend"]
