"""Public keys published at a URL as a JSON Web Key Set (RFC 7517), which change at any time."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from persona_stream.auth.keys import restrict, usable_keys
from persona_stream.core.clock import Clock
from persona_stream.errors import Unavailable
from persona_stream.settings.types import PUBLIC_ALGORITHMS

logger = logging.getLogger("persona_stream.tokens.jwks")

LIFESPAN = 300.0  # seconds
COOLDOWN = 30.0  # seconds
MAX_RESPONSE_BYTES = 128 * 1024
MAX_RESPONSE_TIME = 10.0  # seconds
_CONNECT_AND_READ_TIMEOUTS = (3.0, 5.0)  # seconds

Fetch = Callable[[str], bytes]
PublicKey = tuple[str | None, dict[str, Any]]  # key id, and the key by algorithm


class JWKSKeySource:
    """Cached keys of a URL that publishes a JSON Web Key Set (RFC 7517), which changes at any time.

    PyJWT's ``PyJWKClient`` is not used: it delays every caller by one slow response, starts no cooldown after a failed
    request, forgets the keys during an outage, ignores keys without an id, and does not bound a response.

    Invariants:

    - Requests cannot cause more than one fetch in 30 s.
    - Keys are replaced only by other keys, so that they outlive an outage of the URL.
    - A caller with a known key never waits for a fetch; callers with unknown keys wait for the same fetch.
    """

    max_age = LIFESPAN

    def __init__(self, url: str, allowed: Sequence[str], clock: Clock, fetch: Fetch | None = None) -> None:
        self.algorithms: Sequence[str] = tuple(restrict(dict.fromkeys(PUBLIC_ALGORITHMS), allowed, "jwks_url"))
        self._url = url
        self._clock = clock
        self._fetch = fetch or (lambda url: fetch_over_http(url, clock))
        self._lock = threading.Lock()
        self._keys: list[PublicKey] = []
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the published keys that may have signed a token; see ``KeySource``."""
        if self._clock() >= self._fetched_at + LIFESPAN:
            self._refresh(wait=not self._keys)
        if not (keys := self._known_keys(algorithm, kid)):
            self._refresh(wait=True)
            keys = self._known_keys(algorithm, kid)
        if not self._keys:
            wait = self._tried_at + COOLDOWN - self._clock()
            raise Unavailable("The keys for verifying tokens are unavailable", max(1, round(wait)))
        return keys

    def _known_keys(self, algorithm: str, kid: str | None) -> list[Any]:
        return [keys[algorithm] for key_id, keys in self._keys if algorithm in keys and kid in (None, key_id)]

    def _refresh(self, wait: bool) -> None:
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._clock() < self._tried_at + COOLDOWN:
                return
            self._tried_at = self._clock()
            self._keys = _parse_key_set(self._fetch(self._url))
            self._fetched_at = self._clock()
        except (OSError, ValueError) as error:
            kept = "; keeping the previous keys" if self._keys else ""
            logger.warning("cannot load keys from jwks_url: %s%s", error, kept)
        finally:
            self._lock.release()


def fetch_over_http(url: str, clock: Clock) -> bytes:
    """Return the body of a response of at most 128 KiB, read in about 10 s.

    Raises:
        OSError: no response, or another status than 200; redirects are not followed, as they may leave https.
        ValueError: the response is too large or too slow.
    """
    # Imported on demand, because the other kinds of keys need no HTTP client.
    import requests
    from urllib3.exceptions import HTTPError

    deadline = clock() + MAX_RESPONSE_TIME
    with requests.get(url, timeout=_CONNECT_AND_READ_TIMEOUTS, allow_redirects=False, stream=True) as response:
        if response.status_code != 200:
            raise OSError(f"status {response.status_code}")
        body = bytearray()
        try:
            # read1 returns after one read of the socket; read would wait for all, each time up to the timeout.
            while part := response.raw.read1(16 * 1024, decode_content=True):
                body += part
                if len(body) > MAX_RESPONSE_BYTES or clock() > deadline:
                    raise ValueError("the response is too large or too slow")
        except HTTPError as error:
            raise OSError(str(error)) from error
    return bytes(body)


def _parse_key_set(body: bytes) -> list[PublicKey]:
    try:
        published = list(json.loads(body)["keys"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("the response is not a JSON Web Key Set") from None
    keys = [(jwk.get("kid"), public_keys(jwk)) for jwk in published if isinstance(jwk, dict)]
    if not any(by_algorithm for _, by_algorithm in keys):
        raise ValueError("the key set has no usable key for signatures")
    return keys


def public_keys(jwk: dict[str, Any]) -> dict[str, Any]:
    """Return the key of a JSON Web Key by each algorithm that it can be used with; empty for an unusable key."""
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return {}
    # A private key that was published by mistake is reduced to its public half.
    public: dict[str, Any] = {name: jwk[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk}
    try:
        return usable_keys(jwt.PyJWK(public).key, [name for name in PUBLIC_ALGORITHMS if name == jwk.get("alg", name)])
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        # Key sets hold encryption keys too, so an unusable key is no reason for a warning.
        logger.debug("skipped a key of jwks_url: %s", type(error).__name__)
        return {}
