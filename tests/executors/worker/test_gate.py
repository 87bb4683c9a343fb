"""Tests of the gate."""

from __future__ import annotations

import os

from persona_stream.executors.worker.gate import Gate, create_gate_file


def test_a_closed_gate_is_closed_for_both_sides():
    """Each has its own mapping, and needs no descriptor."""
    fd = create_gate_file()
    worker = Gate(os.dup(fd))
    server = Gate(fd)
    before = (server.is_closed, worker.is_closed)
    server.close()
    assert (*before, server.is_closed, worker.is_closed) == (False, False, True, True)
