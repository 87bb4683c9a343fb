"""Those who show what happens: one file each. Several look on at once, and each takes what is its own.

They are shown every update in a fixed order: first those that may have to clear or to end their line, then the one
that writes the answer, then the one that says goodbye.

The answer, as it comes: the only thing that is written to standard output.

What the model thought, in grey, and never among the answer.

The events for programs: one JSON object a line, and the last one always says how it ended.

The events as they came, with their times, for those who look into the protocol.

The last words: what went wrong, what to do now, how to go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from persona_stream.client.models import ExitCode
from persona_stream.client.policy import Fail
from persona_stream.client.session import Received, Reconnecting, SessionFinished, Update
from persona_stream.client.terminal import Terminal, sanitize, sanitize_json, sanitize_line
from persona_stream.client.texts import Texts
from persona_stream.core.clock import Clock


class Renderer(Protocol):
    """Show updates on a screen.

    ``show`` is called for every update, a few times a second also when nothing comes. It raises ``OSError`` when
    its stream cannot be written.
    """

    def render(self, update: Update) -> None:
        """Take an update."""


class AnswerRenderer:
    """Write every piece at once, or all of them at the end; and end the last line."""

    def __init__(self, screen: Terminal, *, at_once: bool = True) -> None:
        self._screen, self._at_once = screen, at_once
        self._held: list[str] = []
        self._last = "\n"

    def render(self, update: Update) -> None:
        """Write the text of this update, if it brings any."""
        match update:
            case Received(reply=reply) if reply.text:
                text = sanitize(reply.text)
                self._last = text[-1]
                if self._at_once:
                    self._screen.write(text)
                else:
                    self._held.append(text)
            case SessionFinished():
                self._screen.write("".join(self._held) + ("" if self._last == "\n" else "\n"))


_GREY = "90"


class ReasoningRenderer:
    """Write the pieces as they come, on lines of their own: what else is written begins on another.

    Args:
        screen: where to.
        beside_answer: whether the answer stands on the same terminal.
    """

    def __init__(self, screen: Terminal, *, beside_answer: bool = False) -> None:
        self._screen, self._beside_answer = screen, beside_answer
        self._is_open = False
        self._last = "\n"  # the last character on the screen, as far as it is a text's

    def render(self, update: Update) -> None:
        """Write the reasoning of this update, if it brings any."""
        match update:
            case Received(reply=reply) if reply.reasoning:
                self._open()
                self._last = reply.reasoning[-1]
                self._screen.write(self._screen.style(sanitize(reply.reasoning), _GREY))
            case Received(reply=reply) if reply.text:
                self._close("\n")
                self._last = reply.text[-1] if self._beside_answer else "\n"
            case Received(reply=reply) if reply.is_last:
                self._close("\n")
            case Reconnecting():
                self._close()
            case SessionFinished():
                self._close("\n")

    def _open(self) -> None:
        # A model may think again in the middle of its answer.
        if not self._is_open and self._last != "\n":
            self._screen.write("\n")
        self._is_open = True

    def _close(self, space: str = "") -> None:
        if self._is_open:
            self._screen.write(("" if self._last == "\n" else "\n") + space)
            self._is_open, self._last = False, "\n"


_STATUSES = {ExitCode.TIMEOUT: "timeout", ExitCode.CANCELLED: "cancelled"}


class JsonLinesRenderer:
    """Write what the server said; where it said nothing of the end, say it in the same form."""

    def __init__(self, screen: Terminal, texts: Texts) -> None:
        self._screen, self._texts = screen, texts
        self._has_ended = False

    def render(self, update: Update) -> None:
        """Write the object of this update, if it brings one."""
        match update:
            case Received(reply=reply):
                self._write(reply.payload)
                self._has_ended = reply.is_last
            case SessionFinished(end=end, seconds=seconds) if not self._has_ended:
                self._write(end.reply.payload if end.reply and end.reply.is_last else self._own(end, seconds))

    def _own(self, end: Fail, seconds: float) -> Mapping[str, object]:
        return {
            "success": end.outcome is ExitCode.ANSWERED,
            "error": self._texts.error_of(end.code, end.detail),
            "code": end.code,
            "status": _STATUSES.get(end.outcome, "error"),
            "is_complete": True,
            "elapsed_time": round(seconds, 1),
        }

    def _write(self, payload: Mapping[str, object]) -> None:
        # JSON is UTF-8; where the stream is something else, only ASCII gets through whole.
        self._screen.write(sanitize_json(json.dumps(payload, ensure_ascii=not self._screen.is_utf8)) + "\n")


_RAW_GREY = "90"


class RawEventRenderer:
    """Write the time since the beginning, the id and the data of every event."""

    def __init__(self, screen: Terminal, texts: Texts, clock: Clock) -> None:
        self._screen, self._texts, self._clock = screen, texts, clock
        self._started = clock()

    def render(self, update: Update) -> None:
        """Write the event of this update, if it brings one."""
        match update:
            case Received(event=event) if event is not None:
                said = f"id={event.id} {event.data}"
            case Reconnecting(code=code, wait=wait):
                said = self._texts.reconnecting_because(code, wait)
            case _:
                return
        moment = f"+{self._clock() - self._started:.3f}s"
        self._screen.write(self._screen.style(sanitize(f"{moment} {said}".replace("\n", "\\n")), _RAW_GREY) + "\n")


_FAREWELL_GREY, _RED, _YELLOW = "90", "31", "33"


class SummaryRenderer:
    """Say on standard error how it ended."""

    def __init__(self, screen: Terminal, texts: Texts) -> None:
        self._screen, self._texts = screen, texts

    def render(self, update: Update) -> None:
        """Say it at the end."""
        if isinstance(update, SessionFinished):
            self._screen.write("".join(f"{line}\n" for line in self._lines(update)))

    def _lines(self, ended: SessionFinished) -> list[str]:
        texts, paint = self._texts, self._screen.style
        match ended.end.outcome:
            case ExitCode.ANSWERED:
                said = texts.done.format(seconds=ended.seconds)
                if ended.conversation_id:
                    said += " " + texts.continue_with.format(id=sanitize_line(ended.conversation_id))
                return [paint(said, _FAREWELL_GREY)]
            case ExitCode.CANCELLED:
                unheard = f" {texts.cancel_unheard}" if ended.stopped is False else ""
                return [paint(texts.cancelled, _YELLOW) + unheard]
            case _:
                return self._failure(ended)

    def _failure(self, ended: SessionFinished) -> list[str]:
        texts, paint, end = self._texts, self._screen.style, ended.end
        lines = [paint(texts.error, _RED) + self._what(end)]
        advice = [texts.incomplete] if ended.characters else []
        advice.append(texts.hint_of(end.code))
        if end.retry_after:
            advice.append(texts.retry_after.format(seconds=end.retry_after))
        hint = " ".join(part for part in advice if part)
        return [*lines, paint(texts.hint, _YELLOW) + hint] if hint else lines

    def _what(self, end: Fail) -> str:
        said = sanitize_line(end.reply.error) if end.reply else ""
        return said or sanitize_line(self._texts.error_of(end.code, end.detail))
