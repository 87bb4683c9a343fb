"""How late the hub is: a greenlet that sleeps, and says by how much it overslept.

What it oversleeps is what every event of every stream waits beyond its moment. The watchdog speaks up when that is a
second; this one gives the number, always, at four turns of the loop a second.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent

from persona_stream.core.clock import Clock

_EVERY = 0.25  # seconds


def start(tell: Callable[[float], None], clock: Clock) -> None:
    """Begin to tell by how many seconds each sleep was too long. What is told must not block or raise."""
    gevent.spawn(_beat, tell, clock)


def _beat(tell: Callable[[float], None], clock: Clock) -> None:
    while True:
        due = clock() + _EVERY
        gevent.sleep(_EVERY)
        tell(max(0.0, clock() - due))
