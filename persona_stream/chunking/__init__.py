"""Chunkers: functions that cut an answer into the chunks a stream delivers."""

from persona_stream.chunking.registry import chunker, names, register

__all__ = ["chunker", "names", "register"]
