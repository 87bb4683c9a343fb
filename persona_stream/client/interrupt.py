"""Ctrl-C: the first asks to stop, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from persona_stream.client.outcome import Outcome


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first Ctrl-C; it must be safe in a signal handler.

    Nothing is raised: an exception could come in the middle of a write, and a piece would be written half.
    """
    # Only the main thread may handle signals; and where SIGINT is ignored (`nohup`, `&` in a script) it stays so.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    was_asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal was_asked
        if was_asked:
            # Not sys.exit(): the main thread may hang in a write that nobody reads.
            os._exit(Outcome.CANCELLED)
        was_asked = True
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
