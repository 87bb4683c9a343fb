"""Tests of the exit status of subprocesses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from persona_stream.executors.worker.process import Subprocess
from tests.polling import wait_for


@pytest.fixture
def child() -> Iterator[Subprocess]:
    """A process that exits at once, since its module does not exist."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Subprocess("persona_stream.nowhere", theirs.fileno())


def test_the_exit_code_is_reported(child: Subprocess):
    """Signals are tested with the pool."""
    child.wait()
    assert (child.code, child.exit_reason) == (1, "exit code 1")


def test_a_status_collected_by_other_code_is_unknown(child: Subprocess):
    """As by a library that waits for any child."""
    wait_for(lambda: os.waitpid(child.pid, os.WNOHANG)[0] == child.pid)
    child.wait()
    assert (child.code, child.exit_reason) == (None, "exit status unknown")
