"""Wait for what must come true."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], seconds: float = 15.0, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Wait until it is true; fail when it is not in time. With gevent's ``sleep``, greenlets run meanwhile."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never became true"
        sleep(0.02)  # between two looks: nothing tells us when to look
