"""A process of the operating system's: started without a copy of ours, watched, and killed with all that it started."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent import monkey, socket

_wait_read: Any = getattr(socket, "wait_read")  # noqa: B009 - gevent's annotations do not know it
_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
# gevent's own has its loop take the status of every child as soon as it ends, before we can ask for it.
_posix_spawn: Any = monkey.get_original("os", "posix_spawn")

_CONNECTION = 3  # the file that a worker has it as
_NICE = 5
_LOOK = 0.02  # seconds, where a system cannot tell of an end


class Child:
    """Hold one.

    Attributes:
        pid: its number.
        code: its exit code once it has ended; below zero, the signal that killed it. ``None`` for ever, where
            somebody else in this process has taken the status of a child that was not theirs.
    """

    def __init__(self, module: str, connection: int) -> None:
        """Start it: Python, which calls ``main`` of ``module`` with its connection and our own number.

        gevent's way to start a process copies ours first, with all its memory and what its threads hold; this does not.

        Raises:
            OSError: the system does not start any.
        """
        self.code: int | None = None
        self._is_gone = False
        # What computes there makes room for what streams here, and so does what is imported.
        text = f"import os; os.nice({_NICE}); from {module} import main; main({_CONNECTION}, {os.getpid()})"
        files = [
            (os.POSIX_SPAWN_DUP2, connection, _CONNECTION),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),  # what a stranger prints belongs beside our log
        ]
        # In a group with all that it starts; and a Ctrl-C on the terminal is for us alone.
        self.pid = _posix_spawn(
            sys.executable, [sys.executable, "-u", "-c", text], os.environ, file_actions=files, setpgroup=0
        )

    def signal(self, number: int) -> None:
        """Send a signal to it and to all that it has started."""
        # As long as nobody has asked for its status, its number is nobody else's.
        if not self._is_gone:
            with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for one that has ended
                os.killpg(self.pid, number)

    def wait(self) -> None:
        """Wait until it has ended, and end all that it has started. Call it once."""
        # Not found: somebody here waits for children that are not theirs.
        with suppress(ChildProcessError, ProcessLookupError):
            self._wait_for_end()
        self.signal(signal.SIGKILL)
        self._is_gone = True
        with suppress(ChildProcessError):
            _, status = _waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    @property
    def fate(self) -> str:
        """Say how it has ended."""
        if self.code is None:
            return "nobody can tell how"
        if self.code < 0:
            try:
                return f"killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"killed by signal {-self.code}"
        return f"exit code {self.code}"

    def _wait_for_end(self) -> None:
        """Wait until it has ended, without taking its status."""
        if hasattr(os, "pidfd_open"):
            end = os.pidfd_open(self.pid)
            try:
                _wait_read(end)
            finally:
                os.close(end)
            return
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            gevent.sleep(_LOOK)
