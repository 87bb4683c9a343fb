"""One request, and its reply, bounded in time and size.

Sessions: pools of connections, with nothing in them that a provider or the environment slips in later.

Connections that give all that has come of a body at once.

Python's client gives one chunk of HTTP's at a time, however many have come, and a provider sends every token as one.

The chunks of an HTTP/1.1 body, taken off as many at once as have come.

The law: how the bytes are cut into reads never changes the body. The rules are those of RFC 9112, section 7.1, with a
bare LF too for the end of a size or a trailer, as Python's own client takes it. This does no I/O.
"""

from __future__ import annotations

import fcntl
import ipaddress
import re
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.clock import Clock
from persona_stream.logging import trace_headers

# What closes a chunk's data stands before the next one's size; a body begins as if one had just ended.
_CLOSED = b"\r\n"
_SIZE = re.compile(_CLOSED + rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\n]*+)?+\r?\n")
_BEGUN = re.compile(rb"\r?\Z|\r\n[^\n]*+\Z")
_TRAILERS = re.compile(rb"(?:[^\r\n][^\n]*+\n)*+\r?\n")
_LONGEST = 16 * 1024  # bytes between two chunks, or after the last


class ChunkedDecoder:
    """Read one body.

    Attributes:
        is_over: whether it has ended.
        is_broken: whether it cannot go on, because it was cut off, or is not in chunks.
    """

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk
        self._rest = _CLOSED  # the beginning of what is between two chunks
        self._is_last = False
        self.is_over = False
        self.is_broken = False

    def feed(self, read: bytes) -> bytes:
        """Take what was read, and give what there is of the body in it; no bytes say that nothing more comes."""
        data = self._rest + read
        body, end = [data[: self._left]], self._left
        while end < len(data) and not self._is_last and (size := _SIZE.match(data, end)):
            begin = size.end()
            end = begin + int(size[1], 16)
            body.append(data[begin:end])
            self._is_last = begin == end
        self._left = max(0, end - len(data))
        self._rest = data[end:]
        if self._is_last and _TRAILERS.match(self._rest):
            self.is_over = True
        else:
            may_go_on = self._is_last or _BEGUN.match(self._rest)
            self.is_broken = not (read and may_go_on and len(self._rest) <= _LONGEST)
        return b"".join(body)


class _BufferedHTTPResponse(HTTPResponse):
    """Read a body to its end with ``read1``, or without it: not both by turns."""

    def begin(self) -> None:
        super().begin()
        self._chunks = ChunkedDecoder()

    def read1(self, n: int = -1) -> bytes:
        """Give what has come, at most ``n`` bytes of it, and wait only where nothing has; no bytes are the end.

        Raises:
            HTTPException: the body broke off; but first, what came before that is given.
        """
        if self.isclosed() or not self.chunked:
            return super().read1(n)
        body = b""
        while not (body or self._chunks.is_over):
            if self._chunks.is_broken:
                raise HTTPException("the chunks of a body break off")
            body = self._chunks.feed(self.fp.read1(n))
        if self._chunks.is_over:
            self.close()
        return body


class _Connection(HTTPConnection):
    response_class = _BufferedHTTPResponse


class _SecureConnection(HTTPSConnection):
    response_class = _BufferedHTTPResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class BufferedAdapter(HTTPAdapter):
    """Open such connections; one through a proxy is as ever."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


_CONNECTIONS = 512


class SessionPool:
    """Share a session in the thread that made this, and lend one for a request in any other.

    Under gevent a socket belongs to the hub of the thread that opened it: waiting for it in another thread raises,
    and so does closing it when that thread has ended. So elsewhere none outlives its request.
    """

    def __init__(self, shared: requests.Session, lend: Callable[[], AbstractContextManager[requests.Session]]) -> None:
        self._shared, self._lend = shared, lend
        self._home = threading.get_native_id()

    @contextmanager
    def acquire(self) -> Iterator[requests.Session]:
        """Give a session for one request."""
        if threading.get_native_id() == self._home:
            yield self._shared
        else:
            with self._lend() as session:
                yield session


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Hold what the environment says about the way to an address.

    Attributes:
        proxies: by scheme, as requests takes them.
        verify: the file or folder with the certificates to trust, or ``True`` for those that come with requests.
    """

    proxies: Mapping[str, str]
    verify: bool | str


def proxy_settings_for(url: str) -> ProxySettings:
    """Read ``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE`` and their kind, as they are now.

    A proxy is never asked for this machine, which is seldom meant and never works.
    """
    with requests.Session() as session:
        found = session.merge_environment_settings(url, {}, None, None, None)
    direct = _is_this_machine(urlsplit(url).hostname or "")
    return ProxySettings({} if direct else found["proxies"], found["verify"] or True)


def session_for(surroundings: ProxySettings) -> requests.Session:
    """Make a session for hundreds of requests at once to one address."""
    session = requests.Session()
    # Off, as it would read ~/.netrc for each request, and put what it finds there in place of the key.
    session.trust_env = False
    session.proxies = dict(surroundings.proxies)
    session.verify = surroundings.verify
    # A provider's cookie would tie one user's requests to another's.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    # Tries are counted in one place, and this is not it. A full pool opens one more, and blocks nobody.
    adapter = BufferedAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=0, pool_block=False)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_CONNECT = 5.0  # seconds
_PIECE_BYTES = 64 * 1024
_ERROR_BYTES = 64 * 1024  # of an error's body only the beginning is of use

# Every exception of requests is an OSError, and so is a bundle of certificates that is not there.
_FOREIGN = (OSError, urllib3.exceptions.HTTPError)


@dataclass(frozen=True, slots=True)
class Response:
    """Hold what the provider sent, before anybody believes it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedResponse:
    """Hold a reply whose head is there, and whose body is on its way.

    Attributes:
        status: as the head says.
        headers: as the head says.
        pieces: the body as it comes, to be gone through once. It raises ``Trouble`` where the body breaks off, or is
            still coming when the time is up.
    """

    def __init__(self, response: requests.Response, until: float, clock: Clock) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.pieces = self._read(until, clock)
        self._response = response

    @property
    def succeeds(self) -> bool:
        """Whether the head promises an answer."""
        return 200 <= self.status < 300

    def read(self, limit_bytes: int, begun: bytes = b"") -> Response:
        """Wait for the whole body, or of an error for its beginning.

        Args:
            limit_bytes: how large an answer may be.
            begun: what of it was read before.

        Raises:
            Trouble: it broke off, did not come in time, or is over the limit.
        """
        body = bytearray(begun)
        for piece in self.pieces:
            body += piece
            if len(body) > (limit_bytes if self.succeeds else _ERROR_BYTES):
                if self.succeeds:
                    raise ProviderError("too_large", f"more than {limit_bytes} bytes")
                break
        return Response(self.status, self.headers, bytes(body))

    def has_buffered_data(self) -> bool:
        """Tell whether more has come, so that the next piece, or the end, need not be waited for."""
        raw = self._response.raw
        return raw.closed or any(fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4)))

    def abort(self) -> None:
        """End the body for whoever waits for more of it. Any thread may call this."""
        # It raises when the connection was already given back.
        with suppress(OSError, RuntimeError, ValueError):
            self._response.raw.shutdown()

    def _read(self, until: float, clock: Clock) -> Iterator[bytes]:
        try:
            # Not iter_content, which reports a silent provider as a broken connection, and waits for full pieces.
            while piece := self._response.raw.read1(_PIECE_BYTES, decode_content=True):
                yield piece
                if clock() > until:
                    raise ProviderError("timeout", "still sending")
        # A read that is stopped as it begins is a ValueError where gevent does the TLS.
        except (*_FOREIGN, ValueError) as error:
            raise _trouble(error) from error


class HttpTransport:
    """Send to one address.

    Attributes:
        url: the address.
    """

    def __init__(self, url: str, headers: Mapping[str, str], sessions: SessionPool, clock: Clock) -> None:
        self.url, self._sessions, self._clock = url, sessions, clock
        self._headers = {"User-Agent": "persona_stream", **headers}

    @contextmanager
    def post(self, body: object, until: float, *, stream: bool = False) -> Iterator[StreamedResponse]:
        """Send a body, and give the reply as soon as it begins.

        Whatever leaves the block before the reply has ended, a kill too, closes the connection, so that the provider
        can stop its work.

        Args:
            body: what to send as JSON.
            until: the moment to give up, by the clock.
            stream: the reply is to be read as it comes.

        Raises:
            Trouble: none began in time.
        """
        left = max(0.001, until - self._clock())
        # What is compressed comes late, when there is enough of it.
        headers = {**self._headers, **({"Accept-Encoding": "identity"} if stream else {}), **trace_headers.get()}
        try:
            with (
                self._sessions.acquire() as session,
                session.post(
                    self.url,
                    json=body,
                    headers=headers,
                    timeout=(min(_CONNECT, left), left),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                yield StreamedResponse(response, until, self._clock)
        except _FOREIGN as error:
            raise _trouble(error) from error


def _trouble(error: Exception) -> ProviderError:
    match error:
        case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            # Never again: the provider has the request, and may be working on it still.
            return ProviderError("timeout", str(error), is_outage=True)
        case requests.exceptions.SSLError():
            return ProviderError("unreachable", str(error), fallback_allowed=True, is_outage=True)
        case requests.ConnectionError() | urllib3.exceptions.ProtocolError():
            return ProviderError("unreachable", str(error), retryable=True, fallback_allowed=True, is_outage=True)
        case urllib3.exceptions.DecodeError():
            return ProviderError("unreadable", str(error))
        case _:
            return ProviderError("unreachable", str(error), fallback_allowed=True, is_outage=True)
