"""HTTP transport to one provider: requests and responses, bounded in time and size.

Python's HTTP client returns one chunk of a chunked body per read, and providers send every token as a chunk. The
connections here return all chunks that have arrived at once, which saves a read, a decode and a wake-up per token.
"""

import fcntl
import re
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http import client, cookiejar
from typing import Any

import requests
import urllib3

from persona_stream import proxies
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.clock import Clock
from persona_stream.logging import trace_headers

# The line end that closes a chunk precedes the size of the next one; a body starts as if a chunk had just ended.
_CHUNK_END = b"\r\n"
_CHUNK_SIZE = re.compile(_CHUNK_END + rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\n]*+)?+\r?\n")
_PARTIAL_CHUNK_SIZE = re.compile(rb"\r?\Z|\r\n[^\n]*+\Z")
_TRAILERS = re.compile(rb"(?:[^\r\n][^\n]*+\n)*+\r?\n")
MAX_CHUNK_OVERHEAD_BYTES = 16 * 1024  # between two chunks, or after the last one


class ChunkedDecoder:
    """Incremental decoder of a chunked HTTP/1.1 body (RFC 9112, section 7.1). It does no I/O.

    Like Python's client, it accepts a bare LF as the end of a size or a trailer.

    Invariants:
        The decoded body does not depend on how the bytes are split into reads.

    Attributes:
        is_complete: whether the last chunk and the trailers were read.
        is_broken: whether the body was cut off or is not chunked.
    """

    def __init__(self) -> None:
        self._bytes_left = 0  # in the current chunk
        self._undecoded = _CHUNK_END
        self._is_last_chunk = False
        self.is_complete = False
        self.is_broken = False

    def feed(self, read: bytes) -> bytes:
        """Decode the bytes of a read and return the part of the body in them; no bytes mean the end of the input."""
        data = self._undecoded + read
        end = self._bytes_left
        body = [data[:end]]
        while end < len(data) and not self._is_last_chunk and (size := _CHUNK_SIZE.match(data, end)):
            start = size.end()
            end = start + int(size[1], 16)
            body.append(data[start:end])
            self._is_last_chunk = start == end
        self._bytes_left = max(0, end - len(data))
        self._undecoded = data[end:]
        if self._is_last_chunk and _TRAILERS.match(self._undecoded):
            self.is_complete = True
        else:
            is_partial = self._is_last_chunk or _PARTIAL_CHUNK_SIZE.match(self._undecoded)
            self.is_broken = not (read and is_partial and len(self._undecoded) <= MAX_CHUNK_OVERHEAD_BYTES)
        return b"".join(body)


class _BufferedHTTPResponse(client.HTTPResponse):
    """Response whose ``read1`` returns all chunks that have arrived. Do not mix ``read1`` with other reads."""

    def begin(self) -> None:
        super().begin()
        # Python's client skips 100 only, and takes 102 (Processing) and 103 (Early Hints) for the response.
        while 102 <= self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # as it was before the first begin()
            super().begin()
        self._decoder = ChunkedDecoder()

    def read1(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes that have arrived; block only if there are none. No bytes mean the end.

        Raises:
            HTTPException: the body broke off. Bytes before that are returned first.
        """
        if self.isclosed() or not self.chunked:
            return super().read1(n)
        body = b""
        while not (body or self._decoder.is_complete):
            if self._decoder.is_broken:
                raise client.HTTPException("the chunked body broke off")
            body = self._decoder.feed(self.fp.read1(n))
        if self._decoder.is_complete:
            self.close()
        return body


class _BufferedConnection(urllib3.connection.HTTPConnection):
    response_class = _BufferedHTTPResponse


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _BufferedHTTPResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _BufferedConnection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class BufferedAdapter(requests.adapters.HTTPAdapter):
    """Adapter with buffered responses, except through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools with buffered connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


MAX_IDLE_CONNECTIONS = 512


class SessionPool:
    """One shared session for the thread that created the pool, and a new one per request in other threads.

    Under gevent a socket belongs to the event loop of the thread that opened it: waiting for it in another thread
    raises an error, and so does closing it after that thread has ended.
    """

    def __init__(
        self, shared: requests.Session, create: Callable[[], AbstractContextManager[requests.Session]]
    ) -> None:
        self._shared = shared
        self._create = create
        self._thread_id = threading.get_native_id()

    @contextmanager
    def acquire(self) -> Iterator[requests.Session]:
        """Yield a session for one request."""
        if threading.get_native_id() == self._thread_id:
            yield self._shared
        else:
            with self._create() as session:
                yield session


def session_factory(url: str) -> Callable[[], requests.Session]:
    """Return a function that creates sessions for hundreds of concurrent requests to one URL.

    Proxies and trusted certificates are read from the environment once (``HTTPS_PROXY``, ``NO_PROXY``,
    ``REQUESTS_CA_BUNDLE``).

    Raises:
        UnusableProxy: the environment names a proxy that this installation cannot use.
    """
    found = proxies.find_proxies(url)
    with requests.Session() as session:
        environment = session.merge_environment_settings(url, {}, None, None, None)

    def create_session() -> requests.Session:
        session = requests.Session()
        # Otherwise requests reads ~/.netrc for each request, and replaces the API key with the credentials there.
        session.trust_env = False
        session.proxies = dict(found)
        session.verify = environment["verify"] or True
        # A cookie would link the requests of different users.
        session.cookies.set_policy(cookiejar.DefaultCookiePolicy(allowed_domains=()))
        # The retry policy alone decides on retries. A full pool opens another connection instead of blocking.
        adapter = BufferedAdapter(pool_connections=1, pool_maxsize=MAX_IDLE_CONNECTIONS, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    return create_session


CONNECT_TIMEOUT = 5.0  # seconds
MAX_READ_BYTES = 64 * 1024
MAX_ERROR_BODY_BYTES = 64 * 1024  # the rest of an error's body is of no use

# Every exception of requests is an OSError, and so is a missing certificate file.
_TRANSPORT_ERRORS = (OSError, urllib3.exceptions.HTTPError)


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a provider with its whole body, not yet validated."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedResponse:
    """Response whose headers have arrived, and whose body is still being received.

    Attributes:
        status: the HTTP status.
        headers: the HTTP headers.
        chunks: iterator over the body as it arrives. It raises ``ProviderError`` when the body breaks off, or is
            still being received at the deadline.
    """

    def __init__(self, response: requests.Response, deadline: float, clock: Clock) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.chunks = self._iter_bytes(deadline, clock)
        self._response = response

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def read(self, max_bytes: int, prefix: bytes = b"") -> Response:
        """Read the whole body after ``prefix``, or of an error its beginning.

        Raises:
            ProviderError: the body broke off, did not arrive in time, or is too large.
        """
        body = bytearray(prefix)
        for chunk in self.chunks:
            body += chunk
            if len(body) > (max_bytes if self.is_success else MAX_ERROR_BODY_BYTES):
                if self.is_success:
                    raise ProviderError("too_large", f"more than {max_bytes} bytes")
                break
        return Response(self.status, self.headers, bytes(body))

    def has_buffered_data(self) -> bool:
        """Return whether more of the body, or its end, has already arrived."""
        raw = self._response.raw
        return raw.closed or any(fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4)))

    def abort(self) -> None:
        """End the body for the thread that is reading it. Thread-safe."""
        # It raises when the connection was already returned to the pool.
        with suppress(OSError, RuntimeError, ValueError):
            self._response.raw.shutdown()

    def _iter_bytes(self, deadline: float, clock: Clock) -> Iterator[bytes]:
        try:
            # Not iter_content, which reports a read timeout as a broken connection, and waits for full chunks.
            while chunk := self._response.raw.read1(MAX_READ_BYTES, decode_content=True):
                yield chunk
                if clock() > deadline:
                    raise ProviderError("timeout", "still sending")
        # A read that is aborted as it begins is a ValueError in gevent's TLS.
        except (*_TRANSPORT_ERRORS, ValueError) as error:
            raise _provider_error(error) from error


class ProviderTransport:
    """Transport to one ``url``."""

    def __init__(self, url: str, headers: Mapping[str, str], sessions: SessionPool, clock: Clock) -> None:
        self.url = url
        self._headers = {"User-Agent": "persona_stream", **headers}
        self._sessions = sessions
        self._clock = clock

    @contextmanager
    def post(self, body: object, deadline: float, *, stream: bool = False) -> Iterator[StreamedResponse]:
        """Send a request and yield the response when its headers have arrived.

        Leaving the block before the end of the body, also by a kill, closes the connection, so that the provider can
        stop its work.

        Args:
            body: the body, sent as JSON.
            deadline: the time to give up, by the clock.
            stream: whether the response is read as it arrives.

        Raises:
            ProviderError: no response arrived in time.
        """
        time_left = max(0.001, deadline - self._clock())
        # Compression would delay a stream until there is enough to compress.
        encoding = {"Accept-Encoding": "identity"} if stream else {}
        try:
            with (
                self._sessions.acquire() as session,
                session.post(
                    self.url,
                    json=body,
                    headers={**self._headers, **encoding, **trace_headers.get()},
                    timeout=(min(CONNECT_TIMEOUT, time_left), time_left),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                yield StreamedResponse(response, deadline, self._clock)
        except _TRANSPORT_ERRORS as error:
            raise _provider_error(error) from error


def _provider_error(error: Exception) -> ProviderError:
    match error:
        case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            # Never retryable: the provider has the request, and may still be working on it.
            return ProviderError("timeout", str(error), is_outage=True)
        case requests.exceptions.SSLError():
            return ProviderError("unreachable", str(error), fallback_allowed=True, is_outage=True)
        case requests.ConnectionError() | urllib3.exceptions.ProtocolError():
            return ProviderError("unreachable", str(error), retryable=True, fallback_allowed=True, is_outage=True)
        case urllib3.exceptions.DecodeError():
            return ProviderError("unreadable", str(error))
        case _:
            return ProviderError("unreachable", str(error), fallback_allowed=True, is_outage=True)
