"""Renderers: each shows its part of a session's updates.

Every renderer receives every update, in the order of ``main.create_renderers``: first those that may have to erase or
end their line, then the answer, then the summary.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich import cells
from rich.text import Text

from persona_stream.client.models import ExitCode, Reply
from persona_stream.client.policy import Fail
from persona_stream.client.sanitizer import sanitize, sanitize_json, sanitize_line
from persona_stream.client.session import CancelRequested, Connecting, Received, Reconnecting, SessionFinished, Update
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.core.clock import Clock

_GREY = "bright_black"
_STATUSES = {ExitCode.TIMEOUT: "timeout", ExitCode.CANCELLED: "cancelled"}

# No glyph is of ambiguous width, so each takes one column in Chinese locales too.
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_GLYPHS = ("▰", "▱")
_ASCII_SPINNER = "|/-\\"
_ASCII_GLYPHS = ("#", ".")
MIN_DELIVERY_SECONDS = 0.1  # a shorter delivery is not mentioned
_MAX_COLUMNS = 100
_MIN_COLUMNS_FOR_BAR = 48
_MIN_COLUMNS_FOR_MESSAGE = 10

Renderer = Callable[[Update], None]
"""Shows an update, or raises ``OSError``. Called several times a second, also while nothing arrives."""


class AnswerRenderer:
    """Answer on standard output: each chunk at once, or all at the end; the last line always ends."""

    def __init__(self, terminal: Terminal, *, at_once: bool = True) -> None:
        self._terminal = terminal
        self._at_once = at_once
        self._held: list[str] = []
        self._last = "\n"

    def __call__(self, update: Update) -> None:
        """Write the text of an update."""
        match update:
            case Received(reply=reply) if reply.data:
                text = sanitize(reply.data)
                self._last = text[-1]
                if self._at_once:
                    self._terminal.write(text)
                else:
                    self._held.append(text)
            case Received(reply=Reply(status="input_required")) if self._at_once and self._terminal.is_terminal:
                self._end_line()  # the question follows on the same terminal
            case SessionFinished():
                self._terminal.write("".join(self._held))
                self._end_line()

    def _end_line(self) -> None:
        self._terminal.write("" if self._last == "\n" else "\n")
        self._last = "\n"


class ReasoningRenderer:
    """Reasoning in grey, on lines of its own.

    Args:
        beside_answer: whether the answer is written to the same terminal.
    """

    def __init__(self, terminal: Terminal, *, beside_answer: bool = False) -> None:
        self._terminal = terminal
        self._beside_answer = beside_answer
        self._is_open = False
        self._last = "\n"  # last character of text on the terminal

    def __call__(self, update: Update) -> None:
        """Write the reasoning of an update."""
        match update:
            case Received(reply=reply) if reply.reasoning:
                # A model may continue to reason in the middle of its answer.
                if not self._is_open and self._last != "\n":
                    self._terminal.write("\n")
                self._is_open = True
                self._last = reply.reasoning[-1]
                self._terminal.write(sanitize(reply.reasoning), _GREY)
            case Received(reply=reply) if reply.data:
                self._close("\n")
                self._last = reply.data[-1] if self._beside_answer else "\n"
            case Received(reply=Reply(is_complete=True)) | SessionFinished():
                self._close("\n")
            case Reconnecting():
                self._close()

    def _close(self, space: str = "") -> None:
        if self._is_open:
            self._terminal.write(("" if self._last == "\n" else "\n") + space)
            self._is_open = False
            self._last = "\n"


class ToolCallRenderer:
    """Tool calls of the answer, one on each line, after it."""

    def __init__(self, terminal: Terminal, texts: Texts) -> None:
        self._terminal = terminal
        self._texts = texts
        self._lines: dict[str, str] = {}  # by the id of the call, which a resumed stream repeats

    def __call__(self, update: Update) -> None:
        """Collect the call of an update, or write all of them at the end."""
        match update:
            case Received(reply=reply):
                calls = reply.payload.get("tool_calls")
                for call in (reply.payload.get("tool_call"), *(calls if isinstance(calls, list) else ())):
                    if isinstance(call, dict):
                        line = f"{call.get('name', '')}({call.get('arguments', '')})"
                        self._lines[str(call.get("id"))] = sanitize_line(line)
            case SessionFinished():
                for line in self._lines.values():
                    _write_line(self._terminal, self._texts.format("tool_call"), "cyan", line)


class JsonLinesRenderer:
    """Replies as lines of JSON; the last line is always a terminal event, the client's own if the server sent none."""

    def __init__(self, terminal: Terminal, texts: Texts) -> None:
        self._terminal = terminal
        self._texts = texts
        self._has_ended = False

    def __call__(self, update: Update) -> None:
        """Write the object of an update."""
        match update:
            case Received(reply=reply):
                self._write(reply.payload)
                self._has_ended = reply.is_complete
            case SessionFinished(end=Fail(reply=Reply(is_complete=True) as reply)) if not self._has_ended:
                self._write(reply.payload)
            case SessionFinished(end=end, seconds=seconds) if not self._has_ended:
                self._write({
                    "success": end.outcome is ExitCode.ANSWERED, "error": self._texts.error(end.code, end.detail),
                    "code": end.code, "status": _STATUSES.get(end.outcome, "error"), "is_complete": True,
                    "elapsed_time": round(seconds, 1),
                })  # fmt: skip

    def _write(self, payload: Mapping[str, object]) -> None:
        self._terminal.write(sanitize_json(json.dumps(payload, ensure_ascii=not self._terminal.is_utf8)) + "\n")


class RawEventRenderer:
    """Events as received, with the seconds since the start and the id."""

    def __init__(self, terminal: Terminal, texts: Texts, clock: Clock) -> None:
        self._terminal = terminal
        self._texts = texts
        self._clock = clock
        self._started_at = clock()

    def __call__(self, update: Update) -> None:
        """Write the event of an update."""
        match update:
            case Received(event=event) if event is not None:
                text = f"id={event.id} {event.data.decode()}"
            case Reconnecting(code=code, wait=wait):
                text = self._texts.reconnecting(code, wait)
            case _:
                return
        line = f"+{self._clock() - self._started_at:.3f}s {text}".replace("\n", "\\n")
        self._terminal.write(sanitize(line), _GREY)
        self._terminal.write("\n")


@dataclass(frozen=True, slots=True)
class ProgressState:
    """Values that a bar shows; times are in seconds, and ``None`` is unknown."""

    message: str
    elapsed: float
    percent: float | None = None
    left: float | None = None
    is_limit: bool = False  # whether ``left`` is the time to the deadline instead of an estimate


def render_line(state: ProgressState, width: int, texts: Texts, *, ascii_only: bool = False, frame: int = 0) -> Text:
    """Return a line of less than ``width`` columns, since a terminal may wrap after the last one.

    A narrow terminal loses the end of the message first, then the bar, the message, and all but the percentage.
    """
    room = min(width, _MAX_COLUMNS) - 1
    spinner, glyphs = (_ASCII_SPINNER, _ASCII_GLYPHS) if ascii_only else (_SPINNER, _GLYPHS)
    percent = "" if state.percent is None else f"{min(100, int(state.percent)):3d}%"
    bar = _bar(state.percent, room // 5, glyphs, frame) if room >= _MIN_COLUMNS_FOR_BAR else ""
    drawn = f"{spinner[frame % len(spinner)]} {bar}".rstrip()
    parts = [(drawn, "cyan"), (percent, ""), (_times(state, texts), _GREY)]
    head = Text("  ").join(Text(part, style) for part, style in parts if part)
    message = Text(state.message)
    message_room = room - head.cell_len - 2
    if message and message_room >= _MIN_COLUMNS_FOR_MESSAGE:
        if message.cell_len > message_room:
            # Not Text.truncate: the width of its ellipsis is ambiguous.
            message = Text(cells.set_cell_size(message.plain, message_room - 3).rstrip() + "...")
        head = Text("  ").join((head, message))
    return next((line for line in (head, Text(percent)) if line.cell_len <= room), Text())


def _bar(percent: float | None, size: int, glyphs: tuple[str, str], frame: int) -> str:
    full, empty = glyphs
    if percent is None:
        # A block moves from end to end.
        start = frame % size
        block = max(2, size // 4)
        return "".join(full if (index - start) % size < block else empty for index in range(size))
    filled = int(min(100.0, percent) * size / 100)
    return full * filled + empty * (size - filled)


def _times(state: ProgressState, texts: Texts) -> str:
    elapsed = _duration(state.elapsed, texts.format("seconds", value=state.elapsed))
    if state.left is None:
        return elapsed
    if not state.is_limit:
        return f"{elapsed}  {texts.format('time_left', time=_rounded(state.left, texts))}"
    left = max(1, round(state.left))
    shown = _duration(left, texts.format("whole_seconds", value=left))
    return f"{elapsed}  {texts.format('time_limit', time=shown)}"


def _rounded(seconds: float, texts: Texts) -> str:
    """Return an estimate that is rounded to 5 seconds from 10 seconds on, and a range of minutes from a minute on."""
    if seconds >= 57.5:
        low = max(1, int(seconds // 60))
        return texts.format("minutes", low=low, high=low + 1)
    return texts.format("whole_seconds", value=max(1, round(seconds) if seconds < 10 else 5 * round(seconds / 5)))


def _duration(seconds: float, short: str) -> str:
    if seconds < 60:
        return short
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class _Progress:
    """Progress of a session, derived from its updates; the base class of its renderers."""

    def __init__(self, terminal: Terminal, texts: Texts, clock: Clock) -> None:
        self._terminal = terminal
        self._texts = texts
        self._clock = clock
        self._started_at = clock()
        self._received_at = self._started_at
        self._reply = Reply({})
        self._message = ""
        self._deadline: float | None = None
        self._percent: float | None = None  # the highest so far
        self._is_asking = False  # whether the backend waits for an answer of the user
        self._has_text = False  # whether the answer, or the reasoning before it, has begun

    def _apply(self, update: Update) -> bool:
        """Record an update; return whether the message may have changed."""
        match update:
            case Connecting(streams=streams):
                self._message = self._texts.format("connecting" if streams else "waiting")
            case Reconnecting(code=code, wait=wait):
                self._message = self._texts.reconnecting(code, wait)
            case CancelRequested():
                self._message = self._texts.format("cancelling")
            case Received(reply=reply):
                return self._apply_reply(reply)
            case _:
                return False
        return True

    def _state(self) -> ProgressState:
        # The elapsed time counts from the question; the server's from the start of the work, as the deadline does.
        reply = self._reply
        now = self._clock()
        elapsed = now - self._started_at
        age = now - self._received_at
        limit = None
        if self._deadline is not None and reply.elapsed_time is not None:
            limit = self._deadline - reply.elapsed_time
        # An estimate beyond the deadline is shown as the time until then; the server's message announces that.
        is_beyond = limit is not None and reply.eta is not None and reply.eta > limit and reply.status == "processing"
        is_limit = is_beyond or reply.eta is None
        left = limit if is_limit else reply.eta
        if left is None:
            return ProgressState(self._message, elapsed, self._percent)
        return ProgressState(self._message, elapsed, self._percent, max(0.0, left - age), is_limit=is_limit)

    def _apply_reply(self, reply: Reply) -> bool:
        if reply.deadline is not None:
            self._deadline = reply.deadline
        self._is_asking = reply.status == "input_required"
        if reply.data or reply.reasoning:
            self._has_text = True
        if reply.data or reply.reasoning or reply.is_complete or self._is_asking or "tool_call" in reply.payload:
            return False
        self._reply = reply
        self._received_at = self._clock()
        if reply.progress is not None:
            self._percent = max(reply.progress, self._percent or 0.0)
        if reply.status == "queued":
            self._message = self._texts.format("queued", position=reply.position or 1)
        else:
            self._message = sanitize_line(reply.message) or self._texts.format("waiting")
        return True


class ProgressBar(_Progress):
    """Bar on a terminal, redrawn with each update and erased when text begins."""

    def __init__(self, terminal: Terminal, texts: Texts, clock: Clock) -> None:
        super().__init__(terminal, texts, clock)
        self._frame = 0
        self._live = terminal.create_live()

    def __call__(self, update: Update) -> None:
        """Draw the bar, or erase it."""
        self._apply(update)
        if self._has_text or self._is_asking or isinstance(update, SessionFinished):
            self.erase()
            return
        self._frame += 1
        ascii_only = self._terminal.options.ascii_only
        width = self._terminal.width
        line = render_line(self._state(), width, self._texts, ascii_only=ascii_only, frame=self._frame)
        self._live.start()
        self._live.update(line, refresh=True)

    def erase(self) -> None:
        """Erase the bar, if it is drawn."""
        self._live.stop()


class ProgressLog(_Progress):
    """Line for each new status."""

    def __call__(self, update: Update) -> None:
        """Write the line of an update, if it has one."""
        is_news = self._apply(update)
        # Once text has begun, a status would interrupt it; a lost connection is worth that.
        if is_news and (not self._has_text or isinstance(update, Reconnecting)):
            state = self._state()
            percent = "    " if state.percent is None else f"{state.percent:3.0f}%"
            self._terminal.write(f"[{state.elapsed:6.1f}s] {percent} {state.message}\n")


def render_summary(terminal: Terminal, texts: Texts, update: Update) -> None:
    """Write the outcome of a finished session on standard error, with the next step after a failure."""
    match update:
        case SessionFinished(end=Fail(outcome=ExitCode.ANSWERED)):
            done = texts.format("done", seconds=update.seconds)
            answered = update.answered_after
            if answered is not None and update.seconds - answered >= MIN_DELIVERY_SECONDS:
                done = texts.format("done_delivered", answered=answered, delivered=update.seconds - answered)
            if update.conversation_id:
                done = f"{done} {texts.format('continue_with', id=sanitize_line(update.conversation_id))}"
            _write_line(terminal, done, _GREY)
        case SessionFinished(end=Fail(outcome=ExitCode.CANCELLED)):
            unconfirmed = f" {texts.format('cancel_unconfirmed')}" if update.is_stopped is False else ""
            _write_line(terminal, texts.format("cancelled"), "yellow", unconfirmed)
        case SessionFinished(end=end):
            error = sanitize_line(end.reply.error) if end.reply else ""
            if error and end.outcome is ExitCode.REFUSED:
                error = texts.refusal(end.code, error)
            error = error or sanitize_line(texts.error(end.code, end.detail))
            if update.run_id:
                error = texts.format("error_with_run", error=error, run_id=sanitize_line(update.run_id))
            _write_line(terminal, texts.format("error"), "red", error)
            hints = [texts.format("incomplete") if update.characters else "", texts.hint(end.code)]
            if end.retry_after:
                hints.append(texts.format("retry_after", seconds=end.retry_after))
            if hint := " ".join(filter(None, hints)):
                _write_line(terminal, texts.format("hint"), "yellow", hint)


def _write_line(terminal: Terminal, text: str, style: str, rest: str = "") -> None:
    terminal.write(text, style)
    terminal.write(f"{rest}\n")
