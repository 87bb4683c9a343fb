"""Journals in Redis: readable by all processes on all machines, and not lost with the process that runs them."""
