"""Run process_query in processes of their own: for code that computes, crashes, or must be stopped.

The server (``executor``, ``process``, ``child``) and a worker (``worker``, ``outbox``) talk through a pair of sockets,
in ``frames``, which ``codec`` writes. A worker is started fresh, and not forked: nothing of gevent, and no lock that a
thread held, gets into it. This file imports nothing, because a worker imports it too.
"""
