"""Transport of requests over HTTP, with one thread per connection.

A blocking read can neither redraw a clock nor react to Ctrl-C, so a thread reads and passes messages through a queue.
The threads are daemons: one that hangs in a DNS lookup does not keep the process alive.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Literal

import requests
import urllib3
from msgspec import Struct

from persona_stream import proxies
from persona_stream.client.models import EVENT_STREAM, InvalidArgument, Request, ServerConfig
from persona_stream.core.clock import Clock

CONNECT_TIMEOUT = 10.0  # seconds
CHUNK_BYTES = 64 * 1024
# Backpressure: a slow terminal makes the server wait instead of filling memory.
MAX_QUEUED_CHUNKS = 64


class ResponsePart(Struct, frozen=True):
    """Part of a response; ``at`` is the time of arrival, so that a message that waited in the queue is not late."""

    at: float


class Head(ResponsePart, frozen=True):
    """Start of a response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def media_type(self) -> str:
        """Media type of the body, in lower case and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_stream(self) -> bool:
        """Whether the body is the event stream of a run."""
        return self.status == 200 and self.media_type == EVENT_STREAM


class Bytes(ResponsePart, frozen=True):
    """Part of the body."""

    data: bytes


class BodyFinished(ResponsePart, frozen=True):
    """Regular end of the body."""


class Broken(ResponsePart, frozen=True):
    """Connection that could not be opened, or that broke; ``detail`` is the operating system's text."""

    reason: Literal["unreachable", "connection_lost", "silence", "tls"]
    detail: str = ""


class Interrupted(Exception):
    """Request to stop: Ctrl-C, or an output that cannot be written any more."""


class _ConnectionThread(threading.Thread):
    """Thread that sends one request and reads its response until the end or until ``abandon``."""

    def __init__(self, transport: "HttpTransport", request: Request) -> None:
        super().__init__(name=f"{request.method} {request.path}", daemon=True)
        self._transport = transport
        self._clock = transport.clock
        self._request = request
        self.free_slots = threading.Semaphore(MAX_QUEUED_CHUNKS)  # how many more chunks may be queued
        self._response: requests.Response | None = None
        self._is_abandoned = False

    def run(self) -> None:
        try:
            with requests.Session() as http_session:
                self._read(http_session)
        # OSError is the base of the errors of requests; after the first byte, urllib3's come through unwrapped.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            has_response = self._response is not None
            self._put(_translate(error, self._clock(), has_response=has_response, proxy=self._transport.proxy))
        except Exception as error:
            # A bug: show the traceback, but do not leave the session waiting for this thread.
            self._put(Broken(self._clock(), "connection_lost", repr(error)))
            raise

    def abandon(self) -> None:
        """Stop reading as soon as possible; messages still in the queue are ignored."""
        self._is_abandoned = True
        self.free_slots.release()
        if self._response is not None:
            # Raises if the connection was already returned to its pool.
            with suppress(ValueError, RuntimeError, OSError):
                self._response.raw.shutdown()

    def _read(self, http_session: requests.Session) -> None:
        self._response = http_session.request(
            self._request.method,
            self._transport.server.url_for(self._request.path),
            headers={"Accept-Encoding": "identity", "User-Agent": "persona-stream-client", **self._request.headers},
            data=self._request.body,
            proxies=self._transport.proxies,
            auth=self._authorize,
            stream=True,
            # A redirect would turn the POST into a GET, and could carry the question to another server.
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, self._request.read_timeout),
        )
        with self._response as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            self._put(Head(self._clock(), response.status_code, headers))
            # iter_content() buffers a body without Content-Length until the connection closes.
            while not self._is_abandoned and (data := response.raw.read1(CHUNK_BYTES, decode_content=True)):
                self.free_slots.acquire()
                self._put(Bytes(self._clock(), data))
        self._put(BodyFinished(self._clock()))

    def _authorize(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        # Not among the headers of the request: requests would overwrite it with the password from ~/.netrc.
        prepared.headers["Authorization"] = f"Bearer {self._transport.server.token}"
        return prepared

    def _put(self, message: ResponsePart) -> None:
        self._transport.inbox.put((self, message))


class HttpTransport:
    """Carrier of one request at a time over HTTP. Only ``next`` blocks.

    ``open`` is followed by a ``Head``, any number of ``Bytes``, and a ``BodyFinished`` or ``Broken``; or by ``Broken``
    alone.

    Raises:
        InvalidArgument: The environment names a proxy that this installation cannot use.

    Attributes:
        proxies: Proxies by scheme, as ``requests`` expects them; an empty one overrides the environment.
        proxy: The proxy that the requests go through; ``None`` if they are direct.
    """

    def __init__(self, server: ServerConfig, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        try:
            self.proxies = proxies.find_proxies(server.url) or {"http": "", "https": "", "all": ""}
        except proxies.UnusableProxy as error:
            key = "socks_missing" if error.needs_socks else "proxy_unknown"
            raise InvalidArgument(key, proxy=error.proxy, variable=error.variable) from error
        self.proxy = requests.utils.select_proxy(server.url, self.proxies) or None
        # None is an interruption. SimpleQueue.put may be called from a signal handler; Queue.put may not.
        self.inbox: SimpleQueue[tuple[_ConnectionThread, ResponsePart] | None] = SimpleQueue()
        self._current: _ConnectionThread | None = None

    def open(self, request: Request) -> None:
        """Start a request in place of the current one."""
        self.close()
        self._current = _ConnectionThread(self, request)
        self._current.start()

    def next(self, timeout: float) -> ResponsePart | None:
        """Return the next message, ``None`` if there is none in ``timeout`` seconds; or raise ``Interrupted``."""
        deadline = self.clock() + timeout
        while True:
            try:
                item = self.inbox.get(timeout=max(0.0, deadline - self.clock()))
            except Empty:
                return None
            if item is None:
                raise Interrupted
            sender, message = item
            if sender is self._current:
                if isinstance(message, Bytes):
                    sender.free_slots.release()
                return message

    def interrupt(self) -> None:
        """Request the end of the session. Safe in a signal handler."""
        self.inbox.put(None)

    def close(self) -> None:
        """Drop the current request; ``open`` may follow."""
        if self._current is not None:
            self._current.abandon()
            self._current = None


def _translate(error: Exception, at: float, *, has_response: bool, proxy: str | None) -> Broken:
    # The innermost error has the text of the operating system.
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    detail = (isinstance(cause, OSError) and cause.strerror) or str(cause)
    if proxy:
        detail += f" (proxy {proxy.rpartition('@')[2]})"
    match error:
        case requests.exceptions.SSLError():
            return Broken(at, "tls", detail)
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return Broken(at, "silence", detail)
        case requests.exceptions.InvalidURL() | urllib3.exceptions.LocationParseError():
            return Broken(at, "unreachable", detail)
        # requests disables the retries of urllib3, so MaxRetryError means that there was no connection.
        case requests.exceptions.ConnectionError(args=(urllib3.exceptions.MaxRetryError(), *_)) if not has_response:
            return Broken(at, "unreachable", detail)
        case _:
            return Broken(at, "connection_lost", detail)
