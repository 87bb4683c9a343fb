"""Command-line client: send a question, show progress, resume after a broken connection, cancel.

Invariants:
    Text from a server is untrusted: ``texts.sanitize`` makes it harmless before it is written.
    ``session`` and ``policy`` decide; only ``transport`` does network I/O, and only ``terminal`` writes.
"""
