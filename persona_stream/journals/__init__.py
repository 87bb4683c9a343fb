"""Journals: the facts of each run, in memory or in Redis."""

from persona_stream.journals.base import Journal, JournalStore

__all__ = ["Journal", "JournalStore"]
