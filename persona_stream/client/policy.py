"""Decisions about responses that are not event streams, and the delays between attempts. Pure: values in, values out.

Invariants:
    A run is started at most once. While its id is unknown, only the same POST with the same idempotency key is
    repeated; once it is known, only that run is read.
"""

import dataclasses

from msgspec import Struct

from persona_stream.client.models import ExitCode, Reply
from persona_stream.client.transport import Head
from persona_stream.core.sse import parse_retry_after


class NextStep(Struct, frozen=True):
    """Decision of this module."""


class Finish(NextStep, frozen=True):
    """End with this reply: the whole answer, or a failure."""

    reply: Reply


class FetchResult(NextStep, frozen=True):
    """Fetch the result of the run: it has ended, and its stream has nothing more."""


class Retry(NextStep, frozen=True):
    """Try again after at least ``wait`` seconds; when attempts are exhausted, the other fields describe the error."""

    code: str
    detail: str = ""
    wait: float = 0.0
    outcome: ExitCode = ExitCode.FAILED
    reply: Reply | None = None


class Fail(NextStep, frozen=True):
    """End of the session."""

    outcome: ExitCode
    code: str  # the server's error code, or one of the client's; selects the hint
    detail: str = ""  # text of the network error
    reply: Reply | None = None  # the server's object, if that ended the session
    status: int = 0  # HTTP status of a refusal
    retry_after: float | None = None  # seconds after which the server accepts another request


# Without a JSON object of the server, these are a proxy's whose upstream is briefly unavailable.
_TRANSIENT_STATUSES = (408, 425, 502, 504)
_BUSY_STATUSES = (429, 503)
# Failures of a run that /api/chat reports with an HTTP status.
_RUN_FAILURES = (
    "timeout", "backend_error", "internal", "answer_too_large", "lost", "cancelled", "context_length_exceeded",
    "model_not_found", "content_filter", "overloaded",
)  # fmt: skip


def after_start(head: Head, reply: Reply | None, *, streams: bool, is_repeated: bool) -> NextStep:
    """Return the next step after a response to the POST that starts the run.

    ``streams``: the endpoint answers with events. ``is_repeated``: the response to an earlier, equal POST was lost.
    """
    status = head.status
    retry_after = _required_delay(head)
    if reply and not streams and (reply.is_complete if status == 200 else reply.code in _RUN_FAILURES):
        return Finish(reply)
    if status < 400:
        return _foreign(head)
    code = (reply.code if reply else "") or f"http_{status}"
    if status in _BUSY_STATUSES and is_repeated:
        return Retry(code, wait=retry_after or 0.0, outcome=ExitCode.REFUSED, reply=reply)
    if status in _TRANSIENT_STATUSES and reply is None:
        return Retry(code)
    outcome = ExitCode.REFUSED if status < 500 or status in _BUSY_STATUSES else ExitCode.FAILED
    return Fail(outcome, code, reply=reply, status=status, retry_after=retry_after)


def after_resume(head: Head, reply: Reply | None) -> NextStep:
    """Return the next step after a response to a read of the run."""
    status = head.status
    if status == 204:
        return FetchResult()
    code = (reply.code if reply else "") or f"http_{status}"
    if status in (*_BUSY_STATUSES, *_TRANSIENT_STATUSES, 500):
        wait = _required_delay(head) if status in _BUSY_STATUSES else None
        return Retry(code, wait=wait or 0.0, reply=reply)
    if status in (404, 410):
        # The run existed. Asking again would start a second one.
        return Fail(ExitCode.FAILED, "run_gone", status=status)
    return _foreign(head) if status < 400 else Fail(ExitCode.FAILED, code, reply=reply, status=status)


def after_fetch(head: Head, reply: Reply | None, *, characters: int) -> NextStep:
    """Return the next step after a response with the run's result, of which ``characters`` are already shown."""
    if head.status != 200 or reply is None:
        return after_resume(head, reply)
    if reply.status in ("queued", "processing"):
        return Retry("connection_lost")
    return Finish(dataclasses.replace(reply, data=reply.data[characters:]))


def _required_delay(head: Head) -> float | None:
    return parse_retry_after(head.headers.get("retry-after"), head.headers.get("date"))


def _foreign(head: Head) -> Fail:
    code = "redirected" if 300 <= head.status < 400 else "not_ours"
    return Fail(ExitCode.FAILED, code, head.headers.get("location", ""), status=head.status)


def conclude(reply: Reply) -> Fail:
    """Return the end of the session that a terminal event stands for."""
    if reply.status == "complete":
        outcome = ExitCode.ANSWERED
    elif "timeout" in (reply.status, reply.code):
        outcome = ExitCode.TIMEOUT
    else:
        outcome = ExitCode.CANCELLED if "cancelled" in (reply.status, reply.code) else ExitCode.FAILED
    return Fail(outcome, reply.code or reply.status, reply=reply)


class RetryPolicy(Struct, frozen=True):
    """Exponential backoff with jitter, in seconds, and limits on consecutive failures."""

    initial_delay: float = 0.5
    max_delay: float = 10.0  # unless the server asks for more
    max_initial_attempts: int = 3  # before the first response: the server is probably not running
    max_resume_attempts: int = 12  # after it: enough for a restart of the server

    def is_exhausted(self, failures: int, *, has_run: bool) -> bool:
        """Return whether so many consecutive failures end the session."""
        return failures >= (self.max_resume_attempts if has_run else self.max_initial_attempts)

    def delay(self, failures: int, random: float, at_least: float = 0.0) -> float:
        """Return the delay in seconds after 1 or more consecutive failures.

        Half of it is ``random``, from 0.0 to 1.0, so that clients of a restarted server reconnect at different moments.
        """
        full = min(self.max_delay, self.initial_delay * 2.0 ** min(failures - 1, 30))
        return max(at_least, full * (0.5 + 0.5 * random))
