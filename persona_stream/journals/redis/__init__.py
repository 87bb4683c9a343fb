"""Journals in Redis, shared by every process that uses the same server."""
