"""Journals: the facts of each run, in memory or in Redis."""

from persona_stream.journals.base import Journal, Journals

__all__ = ["Journal", "Journals"]
