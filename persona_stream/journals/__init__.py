"""Journals: the facts of each run, in memory or in Redis."""
