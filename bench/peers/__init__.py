"""Peers: two servers with the same wire format, built with common frameworks.

They send the same events at the same pace, verify tokens (cached) and validate bodies. They do less: their
backend is an ``await`` on their own event loop, and without a journal their runs cannot be resumed, cancelled or
queried. ``bench.servers`` starts them under uvicorn with uvloop and httptools.
"""
