"""Renderers: each shows its part of a session's updates.

Every renderer receives every update, in the order of ``main.create_renderers``: first those that may have to erase or
end their line, then the answer, then the summary.
"""

import json
from collections.abc import Callable, Mapping

from persona_stream.client.models import ExitCode, Reply
from persona_stream.client.policy import Fail
from persona_stream.client.sanitizer import sanitize, sanitize_json, sanitize_line
from persona_stream.client.session import Received, Reconnecting, SessionFinished, Update
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.core.clock import Clock

_GREY = "bright_black"
_STATUSES = {ExitCode.TIMEOUT: "timeout", ExitCode.CANCELLED: "cancelled"}


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
            case SessionFinished():
                self._terminal.write("".join(self._held) + ("" if self._last == "\n" else "\n"))


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


def render_summary(terminal: Terminal, texts: Texts, update: Update) -> None:
    """Write the outcome of a finished session on standard error, with the next step after a failure."""
    match update:
        case SessionFinished(end=Fail(outcome=ExitCode.ANSWERED)):
            done = texts.format("done", seconds=update.seconds)
            if update.conversation_id:
                done = f"{done} {texts.format('continue_with', id=sanitize_line(update.conversation_id))}"
            _write_line(terminal, done, _GREY)
        case SessionFinished(end=Fail(outcome=ExitCode.CANCELLED)):
            unconfirmed = f" {texts.format('cancel_unconfirmed')}" if update.is_stopped is False else ""
            _write_line(terminal, texts.format("cancelled"), "yellow", unconfirmed)
        case SessionFinished(end=end):
            error = sanitize_line(end.reply.error) if end.reply else ""
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
