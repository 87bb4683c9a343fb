"""Questions of the backend: a function answers them, on a terminal the user.

Invariants:
    The session is read on while the function waits, in a thread of its own: the question may expire meanwhile.
"""

import os
import select
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from persona_stream.client import models
from persona_stream.client.sanitizer import sanitize, sanitize_line
from persona_stream.client.session import Received, SessionFinished, Update
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.client.transport import Bytes, Head, HttpTransport

POLL_INTERVAL = 0.2  # seconds between two looks at whether the question is still open
MAX_LINE_BYTES = 65_536
SEND_ATTEMPTS = 5
SEND_TIMEOUT = 10.0  # seconds
RETRY_DELAY = 1.0  # second
_GREY = "bright_black"


@dataclass(frozen=True, slots=True)
class InputQuestion:
    """Open question of the backend.

    Attributes:
        run_id: the run.
        input_id: the id of the question.
        message: the question; untrusted text.
        choices: the allowed answers; ``None`` for any text.
        expires_in: the seconds for which it stays open.
        is_open: returns whether it is still open.
    """

    run_id: str
    input_id: str
    message: str
    choices: tuple[str, ...] | None
    expires_in: float
    is_open: Callable[[], bool]


Answerer = Callable[[InputQuestion], str | None]
"""Answers a question, or returns ``None`` to leave it open. Called in a thread of its own, and may block."""


class InputResponder:
    """Renderer that answers the questions of a run with an ``Answerer``.

    ``close`` is called with each update before anything else writes to the terminal, and the object itself afterwards.
    """

    def __init__(
        self,
        create_transport: Callable[[], HttpTransport],
        answer: Answerer,
        on_refused: Callable[[str], None],
        on_closed: Callable[[], None],
        locale: str,
    ) -> None:
        """Create the responder.

        ``on_refused`` is called with the server's text if it refuses an answer, ``on_closed`` at the end of a question.
        """
        self._create_transport = create_transport
        self._answer = answer
        self._on_refused = on_refused
        self._on_closed = on_closed
        self._locale = locale
        self._run_id = ""
        self._open_id = ""

    def close(self, update: Update) -> None:
        """Close the question, unless the update repeats it."""
        match update:
            case Received(reply=models.Reply(input_id=self._open_id)):
                pass
            case Received() | SessionFinished() if self._open_id:
                self._open_id = ""
                self._on_closed()

    def __call__(self, update: Update) -> None:
        """Start to answer a new question."""
        if isinstance(update, Received):
            reply = update.reply
            self._run_id = reply.run_id or self._run_id
            if reply.input_id and reply.input_id != self._open_id:
                self._open_id = reply.input_id
                threading.Thread(target=self._respond, args=(self._question(reply),), daemon=True).start()

    def _question(self, reply: models.Reply) -> InputQuestion:
        choices = reply.payload.get("choices")
        input_id = reply.input_id
        return InputQuestion(
            self._run_id,
            input_id,
            reply.message,
            tuple(map(str, choices)) if isinstance(choices, list) else None,
            reply.expires_in or 0.0,
            is_open=lambda: self._open_id == input_id,
        )

    def _respond(self, question: InputQuestion) -> None:
        while question.is_open():
            value = self._answer(question)
            if value is None or not question.is_open() or self._send(question, value):
                return

    def _send(self, question: InputQuestion, value: str) -> bool:
        """Send an answer; return whether there is nothing more to do."""
        key = os.urandom(16).hex()  # of all attempts, so that an answer whose response was lost counts once
        request = models.build_input(question.run_id, question.input_id, value, key, locale=self._locale)
        for _ in range(SEND_ATTEMPTS):
            transport = self._create_transport()
            try:
                transport.open(request)
                head = transport.next(SEND_TIMEOUT)
                if isinstance(head, Head) and head.status < 500:
                    if head.status == 200:
                        return True
                    reply = models.parse_json(_read_body(transport))
                    self._on_refused(reply.error if reply else f"HTTP {head.status}")
                    return head.status != 400
            finally:
                transport.close()
            time.sleep(RETRY_DELAY)
        self._on_refused("")
        return True


def _read_body(transport: HttpTransport) -> bytes:
    body = b""
    while isinstance(part := transport.next(SEND_TIMEOUT), Bytes):
        body += part.data
    return body


class TerminalInput:
    """Answerer that asks the user on a terminal, with numbers for the choices."""

    def __init__(self, terminal: Terminal, texts: Texts, find_descriptor: Callable[[], int | None]) -> None:
        """Write questions to a terminal.

        ``find_descriptor`` returns the file descriptor of the terminal to read from. Without one, questions are only
        reported.
        """
        self._terminal = terminal
        self._texts = texts
        self._find_descriptor = find_descriptor
        self._is_prompting = False

    def __call__(self, question: InputQuestion) -> str | None:
        """Return the answer of the user, or ``None`` if the question is closed before, or the input ends."""
        if (descriptor := self._find_descriptor()) is None:
            text = self._texts.format("input_unavailable", question=sanitize_line(question.message))
            self._terminal.write(f"{text}\n", "yellow")
            return None
        self._terminal.write(f"? {sanitize(question.message)}", "cyan")
        self._terminal.write("\n")
        for number, choice in enumerate(question.choices or (), 1):
            self._terminal.write(f"  {number}  {sanitize_line(choice)}\n")
        # What was typed before the question is no answer to it.
        with suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)
        while question.is_open():
            self._terminal.write("> ")
            self._is_prompting = True
            if (line := _read_line(descriptor, question)) is None:
                return None
            self._is_prompting = False
            if (value := _choose(line, question.choices)) is not None:
                return value
            hint = self._texts.format("input_invalid", count=len(question.choices or ()))
            self._terminal.write(f"{hint}\n", "yellow")
        return None

    def show_closed(self) -> None:
        """Write that the question is closed, if the user is about to answer it."""
        if self._is_prompting:
            self._is_prompting = False
            self._terminal.write("\n")
            self._terminal.write(f"{self._texts.format('input_closed')}\n", _GREY)

    def show_refusal(self, text: str) -> None:
        """Write why the server has refused an answer; an empty text if it could not be reached."""
        detail = sanitize_line(text) or self._texts.format("input_unsent")
        self._terminal.write(f"{self._texts.format('error')}{detail}\n", "red")


def _read_line(descriptor: int, question: InputQuestion) -> str | None:
    """Return a line without its end; ``None`` at the end of the input, or once the question is closed."""
    while question.is_open():
        # Not a blocking read, which would take the line that answers the next question. A terminal returns whole lines.
        if select.select([descriptor], [], [], POLL_INTERVAL)[0]:
            line = os.read(descriptor, MAX_LINE_BYTES)
            return line.decode(errors="replace").rstrip("\r\n") if line else None
    return None


def _choose(line: str, choices: tuple[str, ...] | None) -> str | None:
    """Return the answer that a line stands for: a choice by its text or its number, or any text without choices."""
    if choices is None:
        return line
    typed = line.strip()
    if typed in choices:
        return typed
    if typed.isascii() and typed.isdigit() and 0 < int(typed[:6]) <= len(choices):
        return choices[int(typed[:6]) - 1]
    return None


def find_terminal_descriptor(terminal: Terminal) -> int | None:
    """Return the file descriptor to read answers from: standard input, or the controlling terminal if that is a pipe.

    ``None`` if neither is a terminal, or if the user would not see the questions, which ``terminal`` shows.
    """
    if not terminal.is_terminal:
        return None
    with suppress(OSError, ValueError, AttributeError):  # closed, or without a controlling terminal
        return sys.stdin.fileno() if sys.stdin.isatty() else os.open("/dev/tty", os.O_RDONLY)
    return None
