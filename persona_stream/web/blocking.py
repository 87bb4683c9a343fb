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
from persona_stream.journals.base import Journal, has_ended, run_terms
from persona_stream.protocols.base import dump_json
from persona_stream.runs.manager import wait_until_finished
from persona_stream.web.connections import DisconnectDetector
from persona_stream.web.delivery import DeliveryStats
from persona_stream.web.negotiation import protocol_of
from persona_stream.web.responses import PreparedResponse
from persona_stream.web.services import Services
from persona_stream.web.streaming import disable_buffering, run_headers


class RunWaiter:
    """Count a client among a run's readers, and look once an interval whether it is still there.

    ``close`` must be called, and may be called again.
    """

    __slots__ = ("_clock", "_journal", "_leave", "_presence")

    def __init__(self, request: Request, desk: Services, journal: Journal) -> None:
        self._presence = DisconnectDetector(request.environ)
        self._journal, self._clock = journal, desk.clock
        self._leave: Callable[[], None] | None = desk.runs.subscribe(journal)

    def wait(self, seconds: float = math.inf, is_enough: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the run has ended, the client is gone, the time is over or it ``is_enough``.

        Returns:
            whether the run has ended.
        """
        wait_until_finished(
            self._journal, self._clock, seconds, lambda: self.gone() or is_enough(), poll_interval=SMART.interval
        )
        return has_ended(self._journal)

    def gone(self) -> bool:
        """Tell whether the client is gone."""
        return self._presence.is_disconnected()

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            self._presence.restore()
            leave()


_CLIENT_LEFT = 499  # nobody reads it; logs know it by this name

Write = Callable[[Sequence[Entry]], tuple[int, object]]
"""Give the HTTP status and the body that an ended run is answered with, in some dialect."""


def blocking_response(request: Request, desk: Services, journal: Journal, write: Write) -> Response:
    """Wait for the end of a run, and answer with it."""
    waiting, headers = RunWaiter(request, desk, journal), run_headers(run_terms(journal).run_id)
    tally = _tally(request, desk)
    window = desk.settings.commit_window
    try:
        ended = waiting.wait(math.inf if window is None else window)
        is_late = not ended and not waiting.gone()
    except BaseException:  # whatever it is, the end of the process too, the reader is counted out
        waiting.close()
        raise
    if not is_late:
        waiting.close()
        response = _whole(journal, write, tally) if ended else Response(b"", _CLIENT_LEFT, headers)
        desk.runs.notify(run_terms(journal).run_id, tally.report(journal))
        return response
    response = PreparedResponse(_keepalive_body(waiting, journal, write, tally), content_type="application/json")
    response.call_on_close(lambda: desk.runs.notify(run_terms(journal).run_id, tally.report(journal)))
    response.call_on_close(waiting.close)
    response.headers.update(headers)
    disable_buffering(response)
    return response


def final_response(request: Request, desk: Services, journal: Journal, write: Write) -> Response:
    """Answer with the end of a run."""
    tally = _tally(request, desk)
    response = _whole(journal, write, tally)
    desk.runs.notify(run_terms(journal).run_id, tally.report(journal))
    return response


def _tally(request: Request, desk: Services) -> DeliveryStats:
    return DeliveryStats(protocol_of(request), desk.clock, resumed=False)


def _whole(journal: Journal, write: Write, tally: DeliveryStats) -> Response:
    status, written = _written(journal, write, tally)
    response = PreparedResponse(
        written, status, run_headers(run_terms(journal).run_id), content_type="application/json"
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "2"
    elif status != HTTPStatus.OK:
        # Published clients would try twice again, and run the backend three times for the same failure.
        response.headers["x-should-retry"] = "false"
    return response


def failed_within_window(request: Request, desk: Services, journal: Journal) -> bool:
    """Hold a stream back until it has text, but for no longer than its commit window.

    Returns:
        whether the run has failed, and said nothing before.
    """
    window = float(getattr(desk.settings, "commit_window_stream", 0))
    if not window:
        return False

    def has_text() -> bool:
        return any(text_of(entry.fact) for entry in journal.entries)

    waiting = RunWaiter(request, desk, journal)
    try:
        waiting.wait(window, has_text)
    finally:
        waiting.close()
    return isinstance(journal.entries[-1].fact, Failed) and not has_text()


def _keepalive_body(waiting: RunWaiter, journal: Journal, write: Write, tally: DeliveryStats) -> Iterator[bytes]:
    yield b" "
    while not waiting.wait(SMART.interval):
        if waiting.gone():
            return
        yield b" "
    yield _written(journal, write, tally)[1]


def _written(journal: Journal, write: Write, tally: DeliveryStats) -> tuple[int, bytes]:
    status, body = write(journal.entries)
    written = dump_json(body)
    tally.record_body(written, has_text=status == HTTPStatus.OK)
    return status, written
