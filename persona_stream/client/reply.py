"""Read the JSON objects of the server. They are a stranger's: every field may be missing, or of another type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold one event of the stream, or the object that stands for all of it.

    Attributes:
        text: the piece of the answer, and ``reasoning`` the piece of the thoughts; empty when there is none.
        progress: percent. ``elapsed``, ``eta``, ``deadline`` and ``total_time`` are seconds. ``None``: not said.
        is_last: whether this is the terminal event.
        payload: the object itself.
    """

    payload: Mapping[str, object]
    status: str = ""
    text: str = ""
    reasoning: str = ""
    message: str = ""
    code: str = ""
    error: str = ""
    run_id: str = ""
    conversation_id: str = ""
    is_last: bool = False
    progress: float | None = None
    elapsed: float | None = None
    eta: float | None = None
    deadline: float | None = None
    place: float | None = None
    total_time: float | None = None

    def without(self, characters: int) -> Reply:
        """Give the same without the beginning of its text, which the reader has already."""
        return replace(self, text=self.text[characters:])


def parse(data: str | bytes) -> Reply | None:
    """Read a JSON object; ``None`` when it is none."""
    try:
        payload = json.loads(data, parse_constant=lambda name: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return of(payload) if isinstance(payload, dict) else None


def _finite(number: str) -> float | None:
    # What Python would write back as "Infinity" is no JSON; and "NaN", a constant to Python, never was.
    value = float(number)
    return value if math.isfinite(value) else None


def of(payload: Mapping[str, object]) -> Reply:
    """Read an object."""

    def text(name: str) -> str:
        value = payload.get(name)
        return value if isinstance(value, str) else ""

    def number(name: str) -> float | None:
        value = payload.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # In this order: NaN is not greater than anything, and an integer may be too large for a float.
        return float(value) if 0 <= value < 1e9 else None

    return Reply(
        payload,
        status=text("status"),
        text=text("data"),
        reasoning=text("reasoning"),
        message=text("message"),
        code=text("code"),
        error=text("error"),
        run_id=text("run_id"),
        conversation_id=text("conversation_id"),
        is_last=payload.get("is_complete") is True,
        progress=number("progress"),
        elapsed=number("elapsed_time"),
        eta=number("eta"),
        deadline=number("deadline"),
        place=number("position"),
        total_time=number("total_time"),
    )
