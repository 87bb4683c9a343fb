"""Command-line client: send a question, show progress, resume after a broken connection, cancel.

Invariants:
    Text from a server is untrusted: it passes ``sanitizer`` before it is written.
    ``session`` and ``policy`` decide; only ``transport`` does network I/O, and only ``terminal`` writes.
"""
