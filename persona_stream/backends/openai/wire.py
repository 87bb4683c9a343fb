"""One request, and its reply in whole, bounded in time and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests
import urllib3

from persona_stream.backends.openai.sessions import Sessions
from persona_stream.backends.openai.trouble import Trouble
from persona_stream.clock import Clock

_CONNECT = 5.0  # seconds
_PIECE_BYTES = 64 * 1024
_ERROR_BYTES = 64 * 1024  # of an error's body only the beginning is of use


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what the provider sent, before anybody believes it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Send to one address."""

    def __init__(self, url: str, api_key: str, sessions: Sessions, clock: Clock, max_body_bytes: int) -> None:
        self._url, self._sessions, self._clock, self._max_body_bytes = url, sessions, clock, max_body_bytes
        self._headers = {"User-Agent": "persona_stream"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def post(self, body: object, until: float) -> Reply:
        """Send a body and give the reply.

        Whatever ends this early, a kill too, closes the connection, so that the provider can stop its work.

        Args:
            body: what to send as JSON.
            until: the moment to give up, by the clock.

        Raises:
            Trouble: no whole reply came in time, or it is over the limit.
        """
        left = max(0.001, until - self._clock())
        try:
            with (
                self._sessions.one() as session,
                session.post(
                    self._url,
                    json=body,
                    headers=self._headers,
                    timeout=(min(_CONNECT, left), left),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                return Reply(response.status_code, response.headers, self._read(response, until))
        except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
            # Never again: the provider has the request, and may be working on it still.
            raise Trouble("timeout", str(error)) from error
        except requests.exceptions.SSLError as error:
            raise Trouble("unreachable", str(error)) from error
        except (requests.ConnectionError, urllib3.exceptions.ProtocolError) as error:
            raise Trouble("unreachable", str(error), again=True) from error
        except urllib3.exceptions.DecodeError as error:
            raise Trouble("unreadable", str(error)) from error
        # Every exception of requests is an OSError, and so is a bundle of certificates that is not there.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise Trouble("unreachable", str(error)) from error

    def _read(self, response: requests.Response, until: float) -> bytes:
        succeeds = 200 <= response.status_code < 300
        body = bytearray()
        # Not iter_content, which reports a silent provider as a broken connection, and waits for full pieces.
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > (self._max_body_bytes if succeeds else _ERROR_BYTES):
                if succeeds:
                    raise Trouble("too_large", f"more than {self._max_body_bytes} bytes")
                break
            if self._clock() > until:
                raise Trouble("timeout", f"still sending, {len(body)} bytes so far")
        return bytes(body)
