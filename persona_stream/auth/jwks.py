"""Public keys that somebody publishes at an address (RFC 7517), and changes when they like.

The law: what a request can cause is bounded. The address is asked when the keys are old or a token names a key
that nobody knows, and never twice within half a minute; keys are only replaced by keys, so that they outlive
an outage of that address.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import requests
from jwt import PyJWTError
from urllib3.exceptions import HTTPError

from persona_stream.auth.keys import public_keys
from persona_stream.core.clock import Clock
from persona_stream.errors import Unavailable

logger = logging.getLogger("persona_stream.tokens.jwks")

_OLD_AFTER = 300.0
_ASK_AGAIN_AFTER = 30.0
_LARGEST_BYTES = 128 * 1024
_LONGEST = 10.0
_TIMEOUTS = (3.0, 5.0)

Fetch = Callable[[str], bytes]


class JWKSKeySource:
    """Have the keys that an address publishes."""

    max_age = _OLD_AFTER

    def __init__(self, url: str, algorithms: Sequence[str], clock: Clock, fetch: Fetch | None = None) -> None:
        self.algorithms = algorithms
        self._url = url
        self._clock = clock
        self._fetch = fetch or (lambda url: fetch_over_http(url, clock))
        self._asking = threading.Lock()
        self._keys: list[tuple[str | None, dict[str, Any]]] = []
        self._read_at = self._asked_at = float("-inf")

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        if self._clock() >= self._read_at + _OLD_AFTER:
            self._refresh(wait=not self._keys)
        found = self._known(algorithm, kid)
        if not found:
            # After a rotation many come at once with the new key: they wait for the one who asks.
            self._refresh(wait=True)
            found = self._known(algorithm, kid)
        if not self._keys:
            wait = self._asked_at + _ASK_AGAIN_AFTER - self._clock()
            raise Unavailable("The keys that tokens are checked with are out of reach", max(1, round(wait)))
        return found

    def _known(self, algorithm: str, kid: str | None) -> list[Any]:
        return [
            by_algorithm[algorithm]
            for name, by_algorithm in self._keys
            if algorithm in by_algorithm and (kid is None or kid == name)
        ]

    def _refresh(self, wait: bool) -> None:
        if not self._asking.acquire(blocking=wait):
            return
        try:
            if self._clock() < self._asked_at + _ASK_AGAIN_AFTER:
                return
            self._asked_at = self._clock()
            keys = _parse(self._fetch(self._url))
        except (OSError, ValueError) as error:
            logger.warning("No keys from jwks_url: %s%s", error, "; the old ones stay" if self._keys else "")
        else:
            self._keys, self._read_at = keys, self._clock()
        finally:
            self._asking.release()


def fetch_over_http(url: str, clock: Clock) -> bytes:
    """Get what an address holds, at most 128 KiB, within about ten seconds.

    Raises:
        OSError: it does not answer, or not with 200; redirects are not followed, as they may leave https.
        ValueError: it is too large, or too slow.
    """
    until = clock() + _LONGEST
    with requests.get(url, timeout=_TIMEOUTS, allow_redirects=False, stream=True) as response:
        if response.status_code != 200:
            raise OSError(f"it answered {response.status_code}")
        body = bytearray()
        try:
            # read1 gives what is there, where read waits until it has all: a timeout is for each wait, not for the sum.
            while part := response.raw.read1(16 * 1024, decode_content=True):
                body += part
                if len(body) > _LARGEST_BYTES or clock() > until:
                    raise ValueError("it is too large or too slow")
        except HTTPError as error:
            raise OSError(str(error)) from error
    return bytes(body)


def _parse(body: bytes) -> list[tuple[str | None, dict[str, Any]]]:
    try:
        published = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("it is not a JSON Web Key Set") from None
    keys: list[tuple[str | None, dict[str, Any]]] = []
    for jwk in published if isinstance(published, list) else ():
        try:
            keys.append((jwk.get("kid"), public_keys(jwk)))
        except (PyJWTError, ValueError, TypeError, AttributeError) as error:
            # Key sets hold keys for encryption too, so one that is of no use here is nothing to warn of.
            logger.debug("A key of jwks_url is passed over: %s", type(error).__name__)
    if not keys:
        raise ValueError("none of its keys can be used for signatures")
    return keys
