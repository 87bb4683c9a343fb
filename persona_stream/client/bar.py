"""Draw one line of progress. Pure: the same figures give the same line."""

from __future__ import annotations

from dataclasses import dataclass

from persona_stream.client.columns import clip, columns
from persona_stream.client.texts import Texts

# None of these is of ambiguous width, so they take one column also where Chinese is set.
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SIGNS = ("▰", "▱")
_ASCII_SPINNER = "|/-\\"
_ASCII_SIGNS = ("#", ".")
_WIDEST_LINE = 100


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold what a bar shows.

    Attributes:
        percent: how much is done; ``None`` draws a bar that only shows that there is life.
        elapsed: seconds since the beginning.
        left: seconds to go, when they are known.
        at_most: whether ``left`` is only a bound.
    """

    message: str
    elapsed: float
    percent: float | None = None
    left: float | None = None
    at_most: bool = False


def line(figures: Figures, width: int, texts: Texts, *, unicode: bool = True, frame: int = 0) -> str:
    """Give a line that takes less than ``width`` columns: a terminal wraps when the last one is used.

    What has no room is left out: first the end of the message, then the bar, then everything but the percentage.
    """
    room = min(width, _WIDEST_LINE) - 1
    spinner, signs = (_SPINNER, _SIGNS) if unicode else (_ASCII_SPINNER, _ASCII_SIGNS)
    percent = "" if figures.percent is None else f"{min(100, int(figures.percent)):3d}%"
    times = _times(figures, texts)
    bar = _bar(figures.percent, room // 5, signs, frame) if room >= 48 else ""
    head = "  ".join(part for part in (f"{spinner[frame % len(spinner)]} {bar}".rstrip(), percent, times) if part)
    for shown in (f"{head}  {clip(figures.message, max(0, room - columns(head) - 2))}".rstrip(), head, percent):
        if columns(shown) <= room:
            return shown
    return ""


def clock(seconds: float, texts: Texts) -> str:
    """Give a duration as people write it: ``12.4s``, ``2:05``."""
    if seconds < 60:
        return texts.seconds.format(seconds)
    whole = int(seconds)
    hours, minutes = whole // 3600, f"{whole // 60 % 60}"
    return f"{hours}:{minutes:0>2}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _bar(percent: float | None, size: int, signs: tuple[str, str], frame: int) -> str:
    full, empty = signs
    if percent is None:
        # A block of a quarter of the bar wanders from end to end.
        at = frame % size
        block = max(2, size // 4)
        return "".join(full if (index - at) % size < block else empty for index in range(size))
    filled = int(min(100.0, percent) * size / 100)
    return full * filled + empty * (size - filled)


def _times(figures: Figures, texts: Texts) -> str:
    elapsed = clock(figures.elapsed, texts)
    if figures.left is None:
        return elapsed
    form = texts.at_most_left if figures.at_most else texts.about_left
    # Whole seconds: an estimate with a tenth would boast.
    left = max(1, round(figures.left))
    return f"{elapsed}  {form.format(clock(left, texts) if left >= 60 else texts.whole_seconds.format(left))}"
