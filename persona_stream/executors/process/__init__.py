"""Executor of worker processes, for code that computes, may crash, or must be stoppable.

The server (``pool``, ``process``) and a ``worker`` exchange the messages of ``protocol`` through a pair of sockets.

Invariants:
    A worker is spawned, not forked: no state of gevent and no lock that a thread holds reaches it.
    This module, ``worker`` and ``protocol`` import no gevent.
"""
