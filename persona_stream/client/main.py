"""Ask a question and show what happens: the file of the client that knows all the others.

Ctrl-C: the first asks to stop, the second leaves at once.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from persona_stream.client.models import ExitCode, Question, Server
from persona_stream.client.progress_bar import ProgressBar, ProgressLog
from persona_stream.client.renderers import (
    AnswerRenderer,
    JsonLinesRenderer,
    RawEventRenderer,
    ReasoningRenderer,
    Renderer,
    SummaryRenderer,
)
from persona_stream.client.session import Session, SessionFinished
from persona_stream.client.terminal import Terminal, detect_terminal, sanitize_line
from persona_stream.client.texts import Texts
from persona_stream.client.transport import HttpTransport
from persona_stream.core.clock import Clock, monotonic_wall_clock


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first Ctrl-C; it must be safe in a signal handler.

    Nothing is raised: an exception could come in the middle of a write, and a piece would be written half.
    """
    # Only the main thread may handle signals; and where SIGINT is ignored (`nohup`, `&` in a script) it stays so.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    was_asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal was_asked
        if was_asked:
            # Not sys.exit(): the main thread may hang in a write that nobody reads.
            os._exit(ExitCode.CANCELLED)
        was_asked = True
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Say how it shall be shown: as JSON lines, with the raw events, or neither."""

    json: bool = False
    events: bool = False


def ask(
    question: Question,
    server: Server,
    texts: Texts,
    *,
    timeout: float,
    manner: OutputOptions,
    out: TextIO | None,
    err: TextIO | None,
    environ: Mapping[str, str],
) -> ExitCode:
    """Ask, show, and tell how it ended. Ctrl-C cancels the run.

    Args:
        timeout: seconds for everything together.
        out: where the answer goes; ``err``: where everything else goes.
    """
    clock = monotonic_wall_clock()
    answer_screen, status_screen = detect_terminal(out, environ), detect_terminal(err, environ)
    views = choose(manner, answer_screen, status_screen, texts, clock)
    transport = HttpTransport(server, clock)
    session = Session(question, transport, key=uuid.uuid4().hex, clock=clock, timeout=timeout, jitter=random.random)
    updates = session.updates()
    outcome = ExitCode.FAILED
    with interruptible(transport.interrupt):
        try:
            for update in updates:
                if isinstance(update, SessionFinished):
                    outcome = update.end.outcome
                for view in views:
                    view.render(update)
        except OSError as error:
            # The answer has no reader any more, so the run needs none.
            transport.interrupt()
            for _ in updates:
                pass
            _let_go(out, err)
            if not isinstance(error, BrokenPipeError):
                with suppress(OSError):
                    said = sanitize_line(texts.error_of("unwritable", error.strerror or str(error)))
                    status_screen.write(f"{texts.error}{said}\n")
            return ExitCode.FAILED
        finally:
            transport.close()
    return outcome


def choose(manner: OutputOptions, out: Terminal, err: Terminal, texts: Texts, clock: Clock) -> list[Renderer]:
    """Give the views for these screens, in the order in which they must be shown an update."""
    reasoning = ReasoningRenderer(err, beside_answer=out.is_terminal and err.is_terminal)
    views: list[Renderer] = []
    if manner.events:
        # They have the reasoning in them.
        views += [RawEventRenderer(err, texts, clock)]
    # A bar would stand among the lines of JSON; and in a log, those say everything already.
    elif err.can_redraw and not (manner.json and out.is_terminal):
        views += [ProgressBar(err, texts, clock), *([] if manner.json else [reasoning])]
    elif not manner.json:
        # Unlike a bar, a line can come while a thought has not ended its own.
        views += [reasoning, ProgressLog(err, texts, clock)]
    if manner.json:
        views.append(JsonLinesRenderer(out, texts))
    else:
        # On a terminal, pieces would end up on the same lines as the raw events.
        views.append(AnswerRenderer(out, at_once=not (manner.events and out.is_terminal)))
    return [*views, SummaryRenderer(err, texts)]


def _let_go(*streams: TextIO | None) -> None:
    # Python flushes its streams once more when it ends, and would complain about the closed one then.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
