"""Runs: start, queue, follow, cancel and drain."""
