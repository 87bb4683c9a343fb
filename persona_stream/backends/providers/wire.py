"""One request, and its reply, bounded in time and size."""

from __future__ import annotations

import fcntl
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import requests
import urllib3

from persona_stream.backends.providers.sessions import Sessions
from persona_stream.backends.providers.trouble import Trouble
from persona_stream.core.clock import Clock
from persona_stream.logging import carried

_CONNECT = 5.0  # seconds
_PIECE_BYTES = 64 * 1024
_ERROR_BYTES = 64 * 1024  # of an error's body only the beginning is of use

# Every exception of requests is an OSError, and so is a bundle of certificates that is not there.
_FOREIGN = (OSError, urllib3.exceptions.HTTPError)


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what the provider sent, before anybody believes it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Incoming:
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

    def whole(self, limit_bytes: int, begun: bytes = b"") -> Reply:
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
                    raise Trouble("too_large", f"more than {limit_bytes} bytes")
                break
        return Reply(self.status, self.headers, bytes(body))

    def has_more(self) -> bool:
        """Tell whether more has come, so that the next piece, or the end, need not be waited for."""
        raw = self._response.raw
        return raw.closed or any(fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4)))

    def stop(self) -> None:
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
                    raise Trouble("timeout", "still sending")
        # A read that is stopped as it begins is a ValueError where gevent does the TLS.
        except (*_FOREIGN, ValueError) as error:
            raise _trouble(error) from error


class Wire:
    """Send to one address.

    Attributes:
        url: the address.
    """

    def __init__(self, url: str, headers: Mapping[str, str], sessions: Sessions, clock: Clock) -> None:
        self.url, self._sessions, self._clock = url, sessions, clock
        self._headers = {"User-Agent": "persona_stream", **headers}

    @contextmanager
    def post(self, body: object, until: float, *, stream: bool = False) -> Iterator[Incoming]:
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
        headers = {**self._headers, **({"Accept-Encoding": "identity"} if stream else {}), **carried.get()}
        try:
            with (
                self._sessions.one() as session,
                session.post(
                    self.url,
                    json=body,
                    headers=headers,
                    timeout=(min(_CONNECT, left), left),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                yield Incoming(response, until, self._clock)
        except _FOREIGN as error:
            raise _trouble(error) from error


def _trouble(error: Exception) -> Trouble:
    match error:
        case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            # Never again: the provider has the request, and may be working on it still.
            return Trouble("timeout", str(error), down=True)
        case requests.exceptions.SSLError():
            return Trouble("unreachable", str(error), elsewhere=True, down=True)
        case requests.ConnectionError() | urllib3.exceptions.ProtocolError():
            return Trouble("unreachable", str(error), again=True, elsewhere=True, down=True)
        case urllib3.exceptions.DecodeError():
            return Trouble("unreadable", str(error))
        case _:
            return Trouble("unreachable", str(error), elsewhere=True, down=True)
