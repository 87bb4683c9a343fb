"""What follows from a response that is not a stream: decided here, from values alone; done elsewhere.

The law: a run is started at most once. While its id is unknown, only the same POST with the same idempotency
key is ever repeated; once it is known, there are only reads of that run.

How long to wait before the next attempt, and how many to make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from persona_stream.client.models import ExitCode, Reply, exit_code_for
from persona_stream.client.requests import EVENTS, JSON
from persona_stream.client.transport import Head
from persona_stream.core.sse import parse_retry_after


@dataclass(frozen=True, slots=True)
class Finish:
    """This object is the whole answer, or the whole failure."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The run is over and there is nothing more to read: ask how it ended."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try once more, after at least so many seconds. If it is tried too often, ``code`` says what went wrong."""

    code: str
    detail: str = ""
    wait: float = 0.0
    outcome: ExitCode = ExitCode.FAILED
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """There is no more to be had.

    Attributes:
        code: the server's, or one of ours; it chooses the advice.
        detail: what the network said, for people.
        reply: the server's own object, if that is what ended it.
        status: the HTTP status of a refusal.
        retry_after: seconds after which the server may be asked again.
    """

    outcome: ExitCode
    code: str
    detail: str = ""
    reply: Reply | None = None
    status: int = 0
    retry_after: float | None = None


NextStep = Finish | FetchResult | Retry | Fail

# 502 and 504 are a proxy's, when they do not carry our object: the server behind it is away for a moment.
_PASSING = (408, 425, 502, 504)
_TRY_LATER = (429, 503)
# The codes of failures after the run began, which /api/chat gives a status.
_ENDS_OF_A_RUN = ("timeout", "backend_error", "internal", "answer_too_large", "lost", "cancelled")


def is_stream(head: Head) -> bool:
    """Tell whether the body is a stream of the run's events."""
    return head.status == 200 and is_events(head)


def is_events(head: Head) -> bool:
    """Tell whether the body is made of events, be it a stream or a refusal."""
    return _media_type(head.headers) == EVENTS


def is_object(head: Head) -> bool:
    """Tell whether the body is a JSON object."""
    return _media_type(head.headers) == JSON


def after_start(head: Head, reply: Reply | None, *, streams: bool, repeated: bool, now: float) -> NextStep:
    """Decide about a response to the POST that starts the run.

    Args:
        reply: the object in the body, ``None`` when there is none of ours.
        streams: whether the endpoint answers with events.
        repeated: whether the same POST was sent before, and its response got lost.
        now: seconds since 1970.
    """
    status, later = head.status, _later(head, now)
    if status == 200 and not streams and reply is not None and reply.is_last:
        return Finish(reply)
    if status < 400:
        code = "redirected" if 300 <= status < 400 else "not_ours"
        return Fail(ExitCode.FAILED, code, head.headers.get("location", ""), status=status)
    if reply is not None and reply.code in _ENDS_OF_A_RUN and not streams:
        return Finish(reply)
    code = (reply.code if reply else "") or f"http_{status}"
    if status in _TRY_LATER and repeated:
        return Retry(code, wait=later or 0.0, outcome=ExitCode.REFUSED, reply=reply)
    if status in _PASSING and reply is None:
        return Retry(code)
    refused = status < 500 or status in _TRY_LATER
    return Fail(ExitCode.REFUSED if refused else ExitCode.FAILED, code, reply=reply, status=status, retry_after=later)


def after_resume(head: Head, reply: Reply | None, *, now: float) -> NextStep:
    """Decide about a response to a read of the run."""
    status = head.status
    if status == 204:
        return FetchResult()
    code = (reply.code if reply else "") or f"http_{status}"
    if status in _TRY_LATER:
        return Retry(code, wait=_later(head, now) or 0.0, reply=reply)
    if status in _PASSING or status == 500:
        return Retry(code, reply=reply)
    if status in (404, 410):
        # It was there. A server that forgot it is not asked to begin anew: that would be a second run.
        return Fail(ExitCode.FAILED, "run_gone", status=status)
    if 300 <= status < 400:
        return Fail(ExitCode.FAILED, "redirected", head.headers.get("location", ""), status=status)
    return Fail(ExitCode.FAILED, "not_ours" if status < 300 else code, reply=reply, status=status)


def after_fetch(head: Head, reply: Reply | None, *, characters: int, now: float) -> NextStep:
    """Decide about the object of a run that is over. ``characters`` is how many of its answer are here already."""
    if head.status != 200 or reply is None:
        return after_resume(head, reply, now=now)
    if reply.status in ("queued", "processing"):
        return Retry("connection_lost")
    return Finish(reply.without(characters))


def ending(reply: Reply) -> Fail:
    """Give the end that a terminal event means."""
    return Fail(exit_code_for(reply.status, reply.code), reply.code or reply.status, reply=reply)


def _later(head: Head, now: float) -> float | None:
    return parse_retry_after(head.headers.get("retry-after"), now)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


Jitter = Callable[[], float]
"""Gives a number from 0.0 to 1.0, another each time."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bound the attempts that bring nothing new.

    Attributes:
        first: seconds before the second attempt; each further one waits twice as long.
        longest: seconds that no wait exceeds, unless the server asks for more.
        at_start: attempts while the server has not answered once. Few: it is probably not running.
        in_the_middle: attempts once it has: long enough for it to be started anew.
    """

    first: float = 0.5
    longest: float = 10.0
    max_initial_attempts: int = 3
    max_resume_attempts: int = 12

    def is_exhausted(self, failures: int, *, met: bool) -> bool:
        """Tell whether so many failures in a row are enough."""
        return failures >= (self.max_resume_attempts if met else self.max_initial_attempts)

    def delay(self, failures: int, jitter: Jitter, at_least: float = 0.0) -> float:
        """Give the seconds to wait after so many failures in a row (1 or more).

        Half of it is chance: clients that lost the same server shall not come back to it all at once.
        """
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(at_least, full * (0.5 + 0.5 * jitter()))
