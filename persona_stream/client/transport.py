"""What a connection tells, and what the session needs of one: the contract between deciding and doing.

Carry requests with ``requests``, each in a thread of its own.

A read that blocks can neither draw a clock nor hear Ctrl-C, so the reading happens beside the session, and what
comes is put into a queue. The threads are daemons: one that hangs in a name lookup never keeps the program alive.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

import requests
import urllib3
from requests.auth import AuthBase

from persona_stream.client.models import Server
from persona_stream.client.requests import Request
from persona_stream.core.clock import Clock

BrokenBy = Literal["unreachable", "connection_lost", "silence", "tls"]


@dataclass(frozen=True, slots=True)
class Head:
    """The response has begun. Header names are in lower case."""

    at: float
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bytes:
    """A part of the body, as soon as it came."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class BodyFinished:
    """The body ended as HTTP says it should."""

    at: float


@dataclass(frozen=True, slots=True)
class Broken:
    """There was no connection, or it broke; ``detail`` is for people."""

    at: float
    by: BrokenBy
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TransportInterrupted:
    """The person at the keyboard wants to stop, or nobody reads our output any more."""

    at: float


Message = Head | Bytes | BodyFinished | Broken | TransportInterrupted


class Transport(Protocol):
    """Carry one request at a time.

    After ``open`` come a ``Head``, any number of ``Bytes``, and one ``Finished`` or ``Broken``; or ``Broken`` alone.
    ``at`` is the moment of arrival: a message that waited to be taken is not late.
    """

    def open(self, request: Request) -> None:
        """Begin a request, and forget what is under way. Never blocks."""

    def next(self, timeout: float) -> Message | None:
        """Wait for the next message, at most so many seconds; ``None`` when there is none."""

    def close(self) -> None:
        """Forget what is under way. Never blocks; ``open`` may follow."""


CONNECT_TIMEOUT = 10.0
CHUNK_BYTES = 64 * 1024
# A reader that is slower than the server makes the server wait, not our memory grow.
CHUNKS_AHEAD = 64


class _Bearer(AuthBase):
    # As an auth object, and not as a header: requests lets ~/.netrc overwrite the header.
    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class _Connection(threading.Thread):
    """Read one response, until it ends or nobody wants it any more."""

    def __init__(self, server: Server, request: Request, inbox: _Inbox, clock: Clock) -> None:
        super().__init__(name=f"{request.method} {request.path}", daemon=True)
        self._server, self._request, self._inbox, self._clock = server, request, inbox, clock
        self._room = threading.Semaphore(CHUNKS_AHEAD)
        self._response: requests.Response | None = None
        self.abandoned = False

    def run(self) -> None:
        try:
            with requests.Session() as http_session:
                self._read(http_session)
        # OSError is the parent of what requests raises. After the first byte, those of urllib3 come through.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            self._put(_broken(error, self._clock(), answered=self._response is not None))
        except Exception as error:
            # A defect of ours, and it shall be seen; but the session must not wait for this thread.
            self._put(Broken(self._clock(), "connection_lost", repr(error)))
            raise

    def abandon(self) -> None:
        """Stop reading as soon as may be. The messages that are left are forgotten."""
        self.abandoned = True
        self._room.release()
        shut_down = getattr(self._response and self._response.raw, "shutdown", None)
        if shut_down is not None:
            # It raises when the connection is already given back. urllib3 before 2.3 has none: then the
            # thread sees that it is abandoned at the next byte.
            with suppress(ValueError, RuntimeError, OSError):
                shut_down()

    def taken(self) -> None:
        """Make room for one more chunk."""
        self._room.release()

    def _read(self, http_session: requests.Session) -> None:
        wanted = self._request
        self._response = http_session.request(
            wanted.method,
            self._server.at(wanted.path),
            headers={"Accept-Encoding": "identity", "User-Agent": "persona-stream-client", **wanted.headers},
            data=wanted.body,
            auth=_Bearer(self._server.token),
            stream=True,
            # A redirect would turn the POST into a GET, and could carry the question elsewhere.
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, wanted.silence),
        )
        with self._response as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            self._put(Head(self._clock(), response.status_code, headers))
            # iter_content() and iter_lines() hold a body that is delimited by the connection's end until that end.
            while not self.abandoned and (data := response.raw.read1(CHUNK_BYTES, decode_content=True)):
                self._room.acquire()
                self._put(Bytes(self._clock(), data))
        self._put(BodyFinished(self._clock()))

    def _put(self, message: Message) -> None:
        self._inbox.put((self, message))


_Inbox = SimpleQueue[tuple[_Connection | None, Message]]


class HttpTransport:
    """Be the transport of the real world."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server, self._clock = server, clock
        # SimpleQueue.put may be called in a signal handler; Queue.put may not.
        self._inbox: _Inbox = SimpleQueue()
        self._current: _Connection | None = None

    def open(self, request: Request) -> None:
        """Begin a request, and forget what is under way."""
        self.close()
        self._current = _Connection(self._server, request, self._inbox, self._clock)
        self._current.start()

    def next(self, timeout: float) -> Message | None:
        """Wait for the next message of the current connection, or an interruption."""
        until = self._clock() + timeout
        while True:
            try:
                sender, message = self._inbox.get(timeout=max(0.0, until - self._clock()))
            except Empty:
                return None
            if sender is None or sender is self._current:
                if isinstance(message, Bytes) and self._current is not None:
                    self._current.taken()
                return message

    def interrupt(self) -> None:
        """Tell the session to stop. May be called in a signal handler."""
        self._inbox.put((None, TransportInterrupted(self._clock())))

    def close(self) -> None:
        """Forget what is under way."""
        if self._current is not None:
            self._current.abandon()
            self._current = None


def _broken(error: Exception, at: float, *, answered: bool) -> Broken:
    match error:
        case requests.exceptions.SSLError():
            by: BrokenBy = "tls"
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            by = "silence"
        # With no retries of urllib3's own, MaxRetryError wraps what went wrong before there was a connection.
        case requests.exceptions.ConnectionError(args=(urllib3.exceptions.MaxRetryError(), *_)) if not answered:
            by = "unreachable"
        case requests.exceptions.InvalidURL() | urllib3.exceptions.LocationParseError():
            by = "unreachable"
        case _:
            by = "connection_lost"
    return Broken(at, by, _reason(error))


def _reason(error: BaseException) -> str:
    """Find what the operating system said, under all that was wrapped around it."""
    seen = error
    while (below := seen.__cause__ or seen.__context__) is not None:
        seen = below
    return (isinstance(seen, OSError) and seen.strerror) or str(seen)
