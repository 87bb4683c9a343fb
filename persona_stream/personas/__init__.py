"""Personas and the TOML files that describe them."""

from persona_stream.personas.persona import Persona

__all__ = ["Persona"]
