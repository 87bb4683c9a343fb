"""Entry point of the client: connect session, transport and renderers. The first Ctrl-C cancels, the second exits."""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial

from persona_stream.client import renderers
from persona_stream.client.inputs import Answerer, InputResponder, TerminalInput, find_terminal_descriptor
from persona_stream.client.models import ExitCode, Question, ServerConfig
from persona_stream.client.sanitizer import sanitize_line
from persona_stream.client.session import ChatSession, SessionFinished
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.client.transport import HttpTransport
from persona_stream.core.clock import Clock, monotonic_wall_clock


def ask(
    question: Question,
    server: ServerConfig,
    texts: Texts,
    *,
    json: bool,
    events: bool,
    timeout: float,
    raw: bool = False,
    answer: Answerer | None = None,
) -> ExitCode:
    """Send a question and show the answer on stdout and everything else on stderr.

    ``json`` writes lines of JSON instead of the answer, ``events`` the raw events instead of the progress, ``raw`` the
    answer's Markdown as it is. ``timeout`` is in seconds and covers the whole session. Ctrl-C cancels the run.
    ``answer`` answers the questions of the backend; by default, the user does on the terminal, if there is one.
    """
    clock = monotonic_wall_clock()
    status = Terminal(sys.stderr, os.environ)
    outputs = create_renderers(
        Terminal(sys.stdout, os.environ), status, texts, clock, json=json, events=events, raw=raw
    )
    user = TerminalInput(status, texts, cache(partial(find_terminal_descriptor, status)))
    create_transport = partial(HttpTransport, server, clock)
    responder = InputResponder(
        create_transport, answer or user, user.show_refusal, user.show_closed, locale=question.locale
    )
    outputs = [responder.close, *outputs, responder]
    transport = create_transport()
    session = ChatSession(
        question, transport, key=os.urandom(16).hex(), clock=clock, timeout=timeout, jitter=random.random
    )
    updates = session.updates()
    outcome = ExitCode.FAILED
    with handle_interrupt(transport.interrupt):
        try:
            for update in updates:
                if isinstance(update, SessionFinished):
                    outcome = update.end.outcome
                for render in outputs:
                    render(update)
        except OSError as error:
            # The output has no reader any more, so the run is cancelled.
            transport.interrupt()
            for _ in updates:
                pass
            _discard_buffers()
            with suppress(OSError):
                for bar in outputs:
                    if isinstance(bar, renderers.ProgressBar):
                        bar.erase()
                if not isinstance(error, BrokenPipeError):
                    text = sanitize_line(texts.error("unwritable", error.strerror or str(error)))
                    status.write(f"{texts.format('error')}{text}\n")
            return ExitCode.FAILED
        finally:
            transport.close()
    return outcome


def create_renderers(
    out: Terminal, err: Terminal, texts: Texts, clock: Clock, *, json: bool, events: bool, raw: bool = False
) -> list[renderers.Renderer]:
    """Create the renderers for these terminals, in the order in which they receive an update."""
    reasoning = renderers.ReasoningRenderer(err, beside_answer=out.is_terminal and err.is_terminal)
    chosen: list[renderers.Renderer] = []
    if events:
        chosen.append(renderers.RawEventRenderer(err, texts, clock))
    # A bar would disturb lines of JSON on the same terminal.
    elif err.is_interactive and not (json and out.is_terminal):
        chosen += [renderers.ProgressBar(err, texts, clock), *([] if json else [reasoning])]
    elif not json:
        # Unlike the bar, a progress line may follow unfinished reasoning.
        chosen += [reasoning, renderers.ProgressLog(err, texts, clock)]
    if json:
        chosen.append(renderers.JsonLinesRenderer(out, texts))
    elif out.is_interactive and not (events or raw):
        from persona_stream.client.markdown import MarkdownRenderer  # slow to import

        answer = MarkdownRenderer(out)
        chosen = [answer.suspend, *chosen, answer]
    else:
        # On a terminal, chunks would be mixed with the raw events.
        chosen.append(renderers.AnswerRenderer(out, at_once=not (events and out.is_terminal)))
    if not json:
        chosen.append(renderers.ToolCallRenderer(err, texts))
    return [*chosen, lambda update: renderers.render_summary(err, texts, update)]


@contextmanager
def handle_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop``, which must be safe in a signal handler, on the first Ctrl-C, and exit the process on the second.

    Nothing is raised: an exception in the middle of a write would leave half a chunk.
    """
    # Only the main thread may handle signals; an ignored SIGINT (nohup, "&" in a script) stays ignored.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    is_stopping = False

    def handle(number: int, frame: object) -> None:
        nonlocal is_stopping
        if is_stopping:
            # Not sys.exit(): the main thread may be blocked in a write.
            os._exit(ExitCode.CANCELLED)
        is_stopping = True
        stop()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _discard_buffers() -> None:
    # Python flushes its streams at exit, and would report the failure again.
    null = os.open(os.devnull, os.O_WRONLY)
    # A stream that was closed before the program started is None.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(null, stream.fileno())
    os.close(null)
