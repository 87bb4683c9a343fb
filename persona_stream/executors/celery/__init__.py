"""Execution by Celery workers on other machines, which append the facts of a run to its journal in Redis themselves.

Invariants:
    The server imports no code of the backend; ``worker`` imports no gevent.
    A message starts a run at most once, however often it is delivered.
    Celery only carries the query: nothing returns through it, and its results are off.
"""
