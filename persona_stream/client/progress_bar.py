"""Draw one line of progress. Pure: the same figures give the same line.

What is known of the progress, put together from the updates; the bar and the lines draw it.

A line of progress on a terminal, drawn again in its place, and gone before the answer begins.

Progress as plain lines, for logs, pipes and terminals that cannot do more: one for each thing that happens.
"""

from __future__ import annotations

from dataclasses import dataclass

from persona_stream.client.models import Reply
from persona_stream.client.session import CancelRequested, Connecting, Received, Reconnecting, SessionFinished, Update
from persona_stream.client.terminal import Terminal, display_width, sanitize_line, truncate
from persona_stream.client.texts import Texts
from persona_stream.core.clock import Clock

# None of these is of ambiguous width, so they take one column also where Chinese is set.
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SIGNS = ("▰", "▱")
_ASCII_SPINNER = "|/-\\"
_ASCII_SIGNS = ("#", ".")
_WIDEST_LINE = 100


@dataclass(frozen=True, slots=True)
class ProgressState:
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


def line(figures: ProgressState, width: int, texts: Texts, *, unicode: bool = True, frame: int = 0) -> str:
    """Give a line that takes less than ``width`` columns: a terminal wraps when the last one is used.

    What has no room is left out: first the end of the message, then the bar, then everything but the percentage.
    """
    room = min(width, _WIDEST_LINE) - 1
    spinner, signs = (_SPINNER, _SIGNS) if unicode else (_ASCII_SPINNER, _ASCII_SIGNS)
    percent = "" if figures.percent is None else f"{min(100, int(figures.percent)):3d}%"
    times = _times(figures, texts)
    bar = _bar(figures.percent, room // 5, signs, frame) if room >= 48 else ""
    head = "  ".join(part for part in (f"{spinner[frame % len(spinner)]} {bar}".rstrip(), percent, times) if part)
    for shown in (
        f"{head}  {truncate(figures.message, max(0, room - display_width(head) - 2))}".rstrip(),
        head,
        percent,
    ):
        if display_width(shown) <= room:
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


def _times(figures: ProgressState, texts: Texts) -> str:
    elapsed = clock(figures.elapsed, texts)
    if figures.left is None:
        return elapsed
    form = texts.at_most_left if figures.at_most else texts.about_left
    # Whole seconds: an estimate with a tenth would boast.
    left = max(1, round(figures.left))
    return f"{elapsed}  {form.format(clock(left, texts) if left >= 60 else texts.whole_seconds.format(left))}"


class Progress:
    """Follow the updates, and give the figures as they are at this moment.

    Attributes:
        has_text: whether the answer, or the reasoning before it, has begun.
    """

    def __init__(self, texts: Texts, clock: Clock) -> None:
        self._texts, self._clock = texts, clock
        self._started = clock()
        self._heard = self._started
        self._reply = Reply({})
        self._message = ""
        self._percent: float | None = None
        self._deadline: float | None = None
        self.has_text = False

    def take(self, update: Update) -> bool:
        """Note an update; tell whether there is something new to say."""
        texts = self._texts
        match update:
            case Connecting(streams=streams):
                self._message = texts.connecting if streams else texts.waiting
            case Reconnecting(code=code, wait=wait):
                self._message = texts.reconnecting_because(code, wait)
            case CancelRequested():
                self._message = texts.cancelling
            case Received(reply=reply):
                return self._take(reply)
            case _:
                return False
        return True

    def figures(self) -> ProgressState:
        """Give the figures; the clock goes on between two events.

        The time that is shown as passed is that of the person who waits. The server's counts from the moment at
        which the work began, and is good for what is left of the deadline.
        """
        reply, now = self._reply, self._clock()
        passed, since = now - self._started, now - self._heard
        if reply.eta is not None:
            return ProgressState(self._message, passed, self._percent, max(0.0, reply.eta - since))
        if reply.elapsed is None or self._deadline is None:
            return ProgressState(self._message, passed, self._percent)
        left = max(0.0, self._deadline - reply.elapsed - since)
        return ProgressState(self._message, passed, self._percent, left, at_most=True)

    def _take(self, reply: Reply) -> bool:
        self._deadline = self._deadline if reply.deadline is None else reply.deadline
        if reply.text or reply.reasoning:
            self.has_text = True
            return False
        if reply.is_last:
            return False
        self._reply, self._heard = reply, self._clock()
        self._percent = reply.progress
        if reply.status == "queued":
            self._message = self._texts.queued.format(place=reply.place or 1)
        else:
            self._message = sanitize_line(reply.message) or self._texts.waiting
        return True


_CLEAR = "\r\x1b[K"
_CYAN = "36"


class ProgressBar:
    """Draw the bar until there is text: after that, the cursor stands in the middle of somebody else's line."""

    def __init__(self, screen: Terminal, texts: Texts, clock: Clock) -> None:
        self._screen, self._texts = screen, texts
        self._progress = Progress(texts, clock)
        self._frame = 0
        self._is_drawn = False

    def render(self, update: Update) -> None:
        """Draw, or clear."""
        self._progress.take(update)
        if self._progress.has_text or isinstance(update, SessionFinished):
            if self._is_drawn:
                self._is_drawn = False
                self._screen.write(_CLEAR)
            return
        screen, self._frame = self._screen, self._frame + 1
        drawn = line(self._progress.figures(), screen.width(), self._texts, unicode=screen.unicode, frame=self._frame)
        self._is_drawn = True
        self._screen.write(_CLEAR + screen.style(drawn, _CYAN))


class ProgressLog:
    """Write a line when something new was said."""

    def __init__(self, screen: Terminal, texts: Texts, clock: Clock) -> None:
        self._screen = screen
        self._progress = Progress(texts, clock)

    def render(self, update: Update) -> None:
        """Write the line of this update, if it has one."""
        has_news = self._progress.take(update)
        # Once there is text, a status would stand in the middle of it; that the connection is gone is worth that.
        if has_news and (not self._progress.has_text or isinstance(update, Reconnecting)):
            figures = self._progress.figures()
            percent = "    " if figures.percent is None else f"{figures.percent:3.0f}%"
            self._screen.write(f"[{figures.elapsed:6.1f}s] {percent} {figures.message}\n")
