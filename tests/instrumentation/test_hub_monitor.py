"""The event loop monitor, in a process of its own: its thread ends with the process."""

from __future__ import annotations

import subprocess
import sys
import threading

import gevent

from persona_stream.instrumentation.hub_monitor import blocking_location, is_loop
from tests.documents import ROOT
from tests.polling import wait_for

_BLOCKING = """
import logging, sys, time
import gevent
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.instrumentation.hub_monitor import EventLoopMonitor

def compute():
    time.sleep(2.0)

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
lags = []
EventLoopMonitor(monotonic_wall_clock(), lags.append, lambda frame: " Use threads.").start()
gevent.sleep(0.6)
assert lags and max(lags) < 1.4, lags
compute()
gevent.sleep(0.6)
assert 1.4 < max(lags), lags
"""


def test_code_that_blocks_the_event_loop_is_named_and_its_lag_measured() -> None:
    """One heartbeat serves both: the thread reports when it stops, and its delay is the lag."""
    done = subprocess.run([sys.executable, "-uc", _BLOCKING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    blocked, free = done.stdout.splitlines()
    assert blocked.startswith("ERROR the event loop has been blocked for over 1 s by compute() at ")
    assert blocked.endswith(": all streams are stalled. Use threads.")
    assert free.startswith("WARNING the event loop is free again after ")


def test_a_location_names_the_function_and_its_line() -> None:
    """Code outside of libraries comes first; here it is also the innermost frame."""
    frame = sys._getframe()
    assert blocking_location(frame) == (
        f"test_a_location_names_the_function_and_its_line() at {__file__}:{frame.f_lineno - 1}"
    )


def test_a_loop_that_waits_is_not_blocked() -> None:
    """Its heartbeat is late when the process gets no processor, and no code is to blame."""
    frame = sys._getframe()
    assert not is_loop(frame)
    ended = threading.Event()

    def wait() -> None:
        while not ended.is_set():
            gevent.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        wait_for(lambda: thread.ident in sys._current_frames() and is_loop(sys._current_frames()[thread.ident]))
    finally:
        ended.set()
        thread.join()
