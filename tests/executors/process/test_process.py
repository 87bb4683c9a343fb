"""What is known of a process that has ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from persona_stream.executors.process.process import Subprocess
from tests.polling import wait_for


@pytest.fixture
def child() -> Iterator[Subprocess]:
    """One that ends at once, as it finds nothing to call."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Subprocess("persona_stream.nowhere", theirs.fileno())


def test_it_ends_with_a_code(child: Subprocess):
    """Or with a signal; see ``test_executor``."""
    child.wait()
    assert (child.code, child.exit_reason) == (1, "exit code 1")


def test_a_status_that_somebody_else_has_taken_is_not_made_up(child: Subprocess):
    """As a library does that waits for any child."""
    wait_for(lambda: os.waitpid(child.pid, os.WNOHANG)[0] == child.pid)
    child.wait()
    assert (child.code, child.exit_reason) == (None, "exit status unknown")
