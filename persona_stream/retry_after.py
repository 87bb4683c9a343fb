"""When to ask again, as a server says it in ``Retry-After``.

Source: RFC 9110, 10.2.3; its dates are read in every form that mail has, too.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

# No longer than thirty years; fractions are no part of the standard, and are sent all the same.
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def retry_after(header: str | None, now: float) -> float | None:
    """Read the header as seconds from ``now``, or ``None`` where it is missing or makes no sense.

    Args:
        now: seconds since 1970.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a zone can be too large for C's own numbers
        return None
    # The form of asctime names no zone, nor does "-0000", and both mean UTC.
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
