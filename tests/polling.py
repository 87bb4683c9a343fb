"""Polling for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_INTERVAL = 0.02  # seconds


def wait_for(
    condition: Callable[[], object], seconds: float = 15.0, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Wait until the condition is true; fail after ``seconds``. With gevent's ``sleep``, greenlets run meanwhile."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"the condition did not become true within {seconds:g} s"
        sleep(POLL_INTERVAL)
