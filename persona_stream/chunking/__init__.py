"""Chunkers: functions that split an answer into the chunks that a stream delivers."""

from persona_stream.chunking.registry import get_chunker, names, register

__all__ = ["get_chunker", "names", "register"]
