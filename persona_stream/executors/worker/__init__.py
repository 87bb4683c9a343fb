"""Worker processes, which run any function as it runs without a server: unpatched, in threads or on an event loop.

The server (``pool``, ``process``) and a worker (``main``, ``runtime``, ``writer``) exchange the messages of
``protocol`` through a pair of sockets.

Invariants:
    A worker is spawned, not forked: no state of gevent and no lock that a thread holds reaches it.
    This module, ``main``, ``runtime``, ``writer`` and ``protocol`` import no gevent.
"""
