"""The blocking response: one JSON body when the run has ended, however long that takes.

Proxies close a connection that is silent for too long. Until the commit window is over nothing is sent, so that a
failure has its true HTTP status. After it the status is 200, and white space, with which JSON may start, keeps the
connection alive until the body is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from http import HTTPStatus

from flask import Request, Response

from persona_stream.core.projection import SMART
from persona_stream.journals.base import Journal, has_ended, run_terms
from persona_stream.protocols.base import WireProtocol, dump_json
from persona_stream.runs.manager import wait_until_finished
from persona_stream.web.connections import DisconnectDetector
from persona_stream.web.delivery import DeliveryStats
from persona_stream.web.responses import PreparedResponse
from persona_stream.web.services import Services
from persona_stream.web.streaming import disable_buffering, run_headers

_POLL_INTERVAL = SMART.interval
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for its log; no client receives it
_RETRY_AFTER = "2"  # seconds


class RunWaiter:
    """Subscription of a client that waits for the whole response; polls for its disconnect.

    ``close`` must be called, and may be called again.
    """

    __slots__ = ("_clock", "_disconnects", "_journal", "_unsubscribe")

    def __init__(self, request: Request, services: Services, journal: Journal) -> None:
        self._disconnects = DisconnectDetector(request.environ)
        self._journal = journal
        self._clock = services.clock
        self._unsubscribe: Callable[[], None] | None = services.runs.subscribe(journal)

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait until the run ends, the client disconnects or the time is over; return whether the run has ended."""
        wait_until_finished(self._journal, self._clock, seconds, self.is_disconnected, poll_interval=_POLL_INTERVAL)
        return has_ended(self._journal)

    def is_disconnected(self) -> bool:
        """Return whether the client has disconnected."""
        return self._disconnects.is_disconnected()

    def close(self) -> None:
        """Release the run and the connection."""
        if self._unsubscribe is not None:
            unsubscribe = self._unsubscribe
            self._unsubscribe = None
            self._disconnects.restore()
            unsubscribe()


def blocking_response(request: Request, services: Services, journal: Journal, protocol: WireProtocol) -> Response:
    """Return the response of a run that has ended, or one that waits for its end."""
    run_id = run_terms(journal).run_id
    stats = DeliveryStats(protocol.name, services.clock, resumed=False)
    waiter = RunWaiter(request, services, journal)
    window = services.settings.commit_window
    try:
        has_finished = waiter.wait(math.inf if window is None else window)
        is_late = not has_finished and not waiter.is_disconnected()
    except BaseException:  # including the end of the process: the subscriber must be removed
        waiter.close()
        raise

    def report() -> None:
        services.runs.notify(run_id, stats.report(journal))

    if is_late:
        body = _keepalive_body(waiter, journal, protocol, stats)
        response = PreparedResponse(body, headers=run_headers(run_id), content_type="application/json")
        response.call_on_close(report)
        response.call_on_close(waiter.close)
        disable_buffering(response)
        return response
    waiter.close()
    if has_finished:
        response = _final_response(journal, protocol, stats)
    else:
        response = PreparedResponse(b"", _CLIENT_CLOSED_REQUEST, run_headers(run_id))
    report()
    return response


def _final_response(journal: Journal, protocol: WireProtocol, stats: DeliveryStats) -> PreparedResponse:
    status, body = _encode_response(journal, protocol, stats)
    headers = run_headers(run_terms(journal).run_id)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER
    elif status != HTTPStatus.OK:
        # Official clients would retry twice and run the backend three times for the same failure.
        headers["x-should-retry"] = "false"
    return PreparedResponse(body, status, headers, content_type="application/json")


def _keepalive_body(
    waiter: RunWaiter, journal: Journal, protocol: WireProtocol, stats: DeliveryStats
) -> Iterator[bytes]:
    yield b" "
    while not waiter.wait(_POLL_INTERVAL):
        if waiter.is_disconnected():
            return
        yield b" "
    yield _encode_response(journal, protocol, stats)[1]


def _encode_response(journal: Journal, protocol: WireProtocol, stats: DeliveryStats) -> tuple[int, bytes]:
    status, body = protocol.response(journal.entries)
    encoded = dump_json(body)
    stats.record_body(len(encoded), has_text=status == HTTPStatus.OK)
    return status, encoded
