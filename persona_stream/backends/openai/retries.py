"""Whether to try again, and after how long."""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime

from persona_stream.backends.openai.trouble import Trouble

TRIES = 3

# A provider that asks for more is not worth a reader's wait, and asking it sooner would be rude: give up at once.
_LONGEST = 60.0


def pause_after(tries: int, trouble: Trouble, left: float, jitter: float) -> float | None:
    """Say how many seconds to wait after so many tries, or ``None`` to give up.

    Args:
        tries: how many there have been.
        trouble: how the last one ended.
        left: seconds until the deadline.
        jitter: a number from 0.0 to 1.0, so that many queries that failed together do not come back together.
    """
    if not trouble.again or tries >= TRIES:
        return None
    asked = trouble.retry_after
    pause = 2.0 ** (tries - 1) * (0.5 + jitter) if asked is None else asked + 0.5 * jitter
    return pause if pause < left and (asked is None or asked <= _LONGEST) else None


def retry_after(header: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` (RFC 9110, 10.2.3) as seconds from ``now``, or ``None`` where it makes no sense.

    Fractions of a second are no part of the standard, and are sent all the same.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        # The form of asctime names no zone, and means UTC.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
