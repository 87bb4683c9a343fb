"""Whether to try again, and after how long."""

from __future__ import annotations

from persona_stream.backends.providers.trouble import Trouble

TRIES = 3

# A provider that asks for more is not worth a reader's wait, and asking it sooner would be rude: give up at once.
_LONGEST = 60.0


def pause_after(tries: int, trouble: Trouble, left: float, jitter: float, most: int = TRIES) -> float | None:
    """Say how many seconds to wait after so many tries, or ``None`` to give up.

    Args:
        tries: how many there have been.
        trouble: how the last one ended.
        left: seconds until the deadline.
        jitter: a number from 0.0 to 1.0, so that many queries that failed together do not come back together.
        most: how many tries there may be.
    """
    if not trouble.again or tries >= most:
        return None
    asked = trouble.retry_after
    pause = 2.0 ** (tries - 1) * (0.5 + jitter) if asked is None else asked + 0.5 * jitter
    return pause if pause < left and (asked is None or asked <= _LONGEST) else None
