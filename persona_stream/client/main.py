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

from persona_stream.client.models import Outcome, Question, Server
from persona_stream.client.progress_bar import Lines, LiveBar
from persona_stream.client.renderers import Answer, Farewell, JsonLines, RawEvents, Reasoning, View
from persona_stream.client.session import Ended, Session
from persona_stream.client.terminal import Screen, look_at, one_line
from persona_stream.client.texts import Texts
from persona_stream.client.transport import HttpTransport
from persona_stream.core.clock import Clock, wall_clock


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
            os._exit(Outcome.CANCELLED)
        was_asked = True
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True, slots=True)
class Manner:
    """Say how it shall be shown: as JSON lines, with the raw events, or neither."""

    json: bool = False
    events: bool = False


def ask(
    question: Question,
    server: Server,
    texts: Texts,
    *,
    timeout: float,
    manner: Manner,
    out: TextIO | None,
    err: TextIO | None,
    environ: Mapping[str, str],
) -> Outcome:
    """Ask, show, and tell how it ended. Ctrl-C cancels the run.

    Args:
        timeout: seconds for everything together.
        out: where the answer goes; ``err``: where everything else goes.
    """
    clock = wall_clock()
    answer_screen, status_screen = look_at(out, environ), look_at(err, environ)
    views = choose(manner, answer_screen, status_screen, texts, clock)
    transport = HttpTransport(server, clock)
    session = Session(question, transport, key=uuid.uuid4().hex, clock=clock, timeout=timeout, jitter=random.random)
    updates = session.updates()
    outcome = Outcome.FAILED
    with interruptible(transport.interrupt):
        try:
            for update in updates:
                if isinstance(update, Ended):
                    outcome = update.end.outcome
                for view in views:
                    view.show(update)
        except OSError as error:
            # The answer has no reader any more, so the run needs none.
            transport.interrupt()
            for _ in updates:
                pass
            _let_go(out, err)
            if not isinstance(error, BrokenPipeError):
                with suppress(OSError):
                    said = one_line(texts.error_of("unwritable", error.strerror or str(error)))
                    status_screen.write(f"{texts.error}{said}\n")
            return Outcome.FAILED
        finally:
            transport.close()
    return outcome


def choose(manner: Manner, out: Screen, err: Screen, texts: Texts, clock: Clock) -> list[View]:
    """Give the views for these screens, in the order in which they must be shown an update."""
    reasoning = Reasoning(err, beside_answer=out.is_terminal and err.is_terminal)
    views: list[View] = []
    if manner.events:
        # They have the reasoning in them.
        views += [RawEvents(err, texts, clock)]
    # A bar would stand among the lines of JSON; and in a log, those say everything already.
    elif err.can_redraw and not (manner.json and out.is_terminal):
        views += [LiveBar(err, texts, clock), *([] if manner.json else [reasoning])]
    elif not manner.json:
        # Unlike a bar, a line can come while a thought has not ended its own.
        views += [reasoning, Lines(err, texts, clock)]
    if manner.json:
        views.append(JsonLines(out, texts))
    else:
        # On a terminal, pieces would end up on the same lines as the raw events.
        views.append(Answer(out, at_once=not (manner.events and out.is_terminal)))
    return [*views, Farewell(err, texts)]


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
