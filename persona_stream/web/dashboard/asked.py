"""What the query of a request asks the log for."""

from __future__ import annotations

import math

from flask import request

from persona_stream.db.models import FAILED, Filters
from persona_stream.errors import InvalidRequest
from persona_stream.web.numbers import limit

_PAGE, _LARGEST_PAGE = 50, 200
_LONGEST = 200  # characters
YEAR_9999 = 253_402_300_799.0


def filters() -> Filters:
    """Say which runs are wanted.

    Raises:
        InvalidRequest: a number is none, or a text too long.
    """
    statuses = tuple(request.args.getlist("status"))
    if _switch("failed"):
        statuses += FAILED
    return Filters(
        statuses=statuses,
        user=_text("user"),
        endpoint=_text("endpoint"),
        model=_text("model"),
        conversation=_text("conversation"),
        slow=seconds("slow"),
        since=seconds("since"),
        until=seconds("until"),
        search=_text("search"),
    )


def page() -> tuple[str | None, int]:
    """Give the run that the page begins after, and how many it may have."""
    return _text("before"), limit(_PAGE, _LARGEST_PAGE)


def seconds(name: str) -> float | None:
    """Give a moment or a duration of the query, in seconds."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= YEAR_9999:
        raise InvalidRequest(f"{name}: must be a number of seconds")
    return value


def _switch(name: str) -> bool:
    text = request.args.get(name)
    if text not in (None, "1"):
        raise InvalidRequest(f"{name}: must be 1, or left out")
    return text == "1"


def _text(name: str) -> str | None:
    text = request.args.get(name, "")
    if len(text) > _LONGEST:
        raise InvalidRequest(f"{name}: is longer than {_LONGEST} characters")
    # No database takes NUL in a text, and no row has it.
    return text.replace("\0", "") or None
