"""Answer a request once, when its run is done, however long that takes.

Proxies cut a connection that is silent for long. With a commit window, nothing is sent for so long, so that a failure
within it has its true status; from then on the status is 200, and white space, which JSON may begin with, keeps the
connection alive until the body comes.

Wait for a run on behalf of a client that gets its answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus

from flask import Request, Response

from persona_stream.core.facts import Entry, Failed, text_of
from persona_stream.core.projection import SMART
from persona_stream.journals.base import Journal, has_ended, terms
from persona_stream.protocols.base import to_json
from persona_stream.runs.manager import wait_for_ending
from persona_stream.web.connections import Presence
from persona_stream.web.delivery import Tally
from persona_stream.web.negotiation import dialect_of
from persona_stream.web.responses import Ready
from persona_stream.web.services import Desk
from persona_stream.web.streaming import run_headers, unbuffered


class Waiting:
    """Count a client among a run's readers, and look once an interval whether it is still there.

    ``close`` must be called, and may be called again.
    """

    __slots__ = ("_clock", "_journal", "_leave", "_presence")

    def __init__(self, request: Request, desk: Desk, journal: Journal) -> None:
        self._presence = Presence(request.environ)
        self._journal, self._clock = journal, desk.clock
        self._leave: Callable[[], None] | None = desk.runs.join(journal)

    def ended(self, seconds: float = math.inf, is_enough: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the run has ended, the client is gone, the time is over or it ``is_enough``.

        Returns:
            whether the run has ended.
        """
        wait_for_ending(self._journal, self._clock, seconds, lambda: self.gone() or is_enough(), every=SMART.interval)
        return has_ended(self._journal)

    def gone(self) -> bool:
        """Tell whether the client is gone."""
        return self._presence.gone()

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            self._presence.release()
            leave()


_CLIENT_LEFT = 499  # nobody reads it; logs know it by this name

Write = Callable[[Sequence[Entry]], tuple[int, object]]
"""Give the HTTP status and the body that an ended run is answered with, in some dialect."""


def answer(request: Request, desk: Desk, journal: Journal, write: Write) -> Response:
    """Wait for the end of a run, and answer with it."""
    waiting, headers = Waiting(request, desk, journal), run_headers(terms(journal).run_id)
    tally = _tally(request, desk)
    window = desk.settings.commit_window
    try:
        ended = waiting.ended(math.inf if window is None else window)
        is_late = not ended and not waiting.gone()
    except BaseException:  # whatever it is, the end of the process too, the reader is counted out
        waiting.close()
        raise
    if not is_late:
        waiting.close()
        response = _whole(journal, write, tally) if ended else Response(b"", _CLIENT_LEFT, headers)
        desk.runs.note(terms(journal).run_id, tally.reading(journal))
        return response
    response = Ready(_late(waiting, journal, write, tally), content_type="application/json")
    response.call_on_close(lambda: desk.runs.note(terms(journal).run_id, tally.reading(journal)))
    response.call_on_close(waiting.close)
    response.headers.update(headers)
    unbuffered(response)
    return response


def whole(request: Request, desk: Desk, journal: Journal, write: Write) -> Response:
    """Answer with the end of a run."""
    tally = _tally(request, desk)
    response = _whole(journal, write, tally)
    desk.runs.note(terms(journal).run_id, tally.reading(journal))
    return response


def _tally(request: Request, desk: Desk) -> Tally:
    return Tally(dialect_of(request), desk.clock, resumed=False)


def _whole(journal: Journal, write: Write, tally: Tally) -> Response:
    status, written = _written(journal, write, tally)
    response = Ready(written, status, run_headers(terms(journal).run_id), content_type="application/json")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "2"
    elif status != HTTPStatus.OK:
        # Published clients would try twice again, and run the backend three times for the same failure.
        response.headers["x-should-retry"] = "false"
    return response


def fails_soon(request: Request, desk: Desk, journal: Journal) -> bool:
    """Hold a stream back until it has text, but for no longer than its commit window.

    Returns:
        whether the run has failed, and said nothing before.
    """
    window = desk.settings.commit_window_stream
    if not window:
        return False

    def has_text() -> bool:
        return any(text_of(entry.fact) for entry in journal.entries)

    waiting = Waiting(request, desk, journal)
    try:
        waiting.ended(window, has_text)
    finally:
        waiting.close()
    return isinstance(journal.entries[-1].fact, Failed) and not has_text()


def _late(waiting: Waiting, journal: Journal, write: Write, tally: Tally) -> Iterator[bytes]:
    yield b" "
    while not waiting.ended(SMART.interval):
        if waiting.gone():
            return
        yield b" "
    yield _written(journal, write, tally)[1]


def _written(journal: Journal, write: Write, tally: Tally) -> tuple[int, bytes]:
    status, body = write(journal.entries)
    written = to_json(body)
    tally.body(written, has_text=status == HTTPStatus.OK)
    return status, written
