"""Chunkers: functions that cut an answer into the chunks a stream delivers."""

from persona_stream.chunking.registry import get_chunker, names, register

__all__ = ["get_chunker", "names", "register"]
