"""The blocking response: one JSON body when the run has ended, however long that takes.

Proxies close a connection that is silent for too long. Until the commit window is over nothing is sent, so that a
failure has its true HTTP status. After it the status is 200, and white space, with which JSON may start, keeps the
connection alive until the body is sent.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

from flask import Request, Response

from persona_stream.core.clock import Clock
from persona_stream.core.facts import has_ended, run_terms
from persona_stream.core.projection import SMART
from persona_stream.journals.base import Journal
from persona_stream.protocols.base import WireProtocol, dump_json
from persona_stream.runs.manager import wait_until_finished
from persona_stream.web.delivery import Subscription
from persona_stream.web.responses import PreparedResponse
from persona_stream.web.services import Services
from persona_stream.web.streaming import disable_buffering, run_headers

_POLL_INTERVAL = SMART.interval
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for its log; no client receives it
_RETRY_AFTER = "2"  # seconds


def blocking_response(request: Request, services: Services, journal: Journal, protocol: WireProtocol) -> Response:
    """Return the response of a run that has ended, or one that waits for its end."""
    headers = run_headers(run_terms(journal.entries).run_id)
    window = services.settings.commit_window
    subscription = Subscription(request, services, journal, protocol)
    with ExitStack() as closing:  # also if the process ends: the subscriber must be removed
        closing.callback(subscription.close)
        if _wait(subscription, services.clock, math.inf if window is None else window):
            return _final_response(subscription, headers)
        if subscription.is_disconnected():
            return PreparedResponse(b"", _CLIENT_CLOSED_REQUEST, headers)
        body = _keepalive_body(subscription, services.clock)
        response = PreparedResponse(body, headers=headers, content_type="application/json")
        response.call_on_close(closing.pop_all().close)
        disable_buffering(response)
        return response


def _wait(subscription: Subscription, clock: Clock, seconds: float) -> bool:
    """Wait until the run ends, the client disconnects or the time is over; return whether the run has ended."""
    journal = subscription.journal
    wait_until_finished(journal, clock, seconds, subscription.is_disconnected, poll_interval=_POLL_INTERVAL)
    return has_ended(journal.entries)


def _final_response(subscription: Subscription, headers: dict[str, str]) -> PreparedResponse:
    status, body = _encode_response(subscription)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER
    elif status != HTTPStatus.OK:
        # Official clients would retry twice and run the backend three times for the same failure.
        headers["x-should-retry"] = "false"
    return PreparedResponse(body, status, headers, content_type="application/json")


def _keepalive_body(subscription: Subscription, clock: Clock) -> Iterator[bytes]:
    yield b" "
    while not _wait(subscription, clock, _POLL_INTERVAL):
        if subscription.is_disconnected():
            return
        yield b" "
    yield _encode_response(subscription)[1]


def _encode_response(subscription: Subscription) -> tuple[int, bytes]:
    status, body = subscription.protocol.response(subscription.journal.entries)
    encoded = dump_json(body)
    subscription.record_body(len(encoded), has_text=status == HTTPStatus.OK)
    return status, encoded
