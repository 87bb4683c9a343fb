"""Verification keys, configured or published at a URL, and the algorithms that each can be used with.

Invariants:

- The kind of a key decides which algorithms fit; a token's header only selects among those. So ``none`` never fits,
  and a public key is never used as the secret of an HMAC.
- An HMAC secret is at least as long as the hash (RFC 7518 §3.2), an RSA key at least 2048 bits.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt

from persona_stream.core.clock import Clock
from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.settings.types import PUBLIC_ALGORITHMS, SYMMETRIC_ALGORITHMS

logger = logging.getLogger("persona_stream.tokens.jwks")


class KeySource(Protocol):
    """Source of keys for the accepted ``algorithms``; each may be used for ``max_age`` seconds."""

    algorithms: Sequence[str]
    max_age: float

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the keys that may have signed a token with this untrusted key id, or none. May do I/O.

        Raises:
            Unavailable: the source cannot be reached, and no keys are known from before.
        """


class FixedKeys:
    """One configured key, by each algorithm that it is used with."""

    max_age = float("inf")

    def __init__(self, by_algorithm: Mapping[str, Any]) -> None:
        self.algorithms: Sequence[str] = tuple(by_algorithm)
        self._by_algorithm = by_algorithm

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the key for any ``kid``."""
        return (self._by_algorithm[algorithm],)


def keys_from_secret(secret: str, allowed: Sequence[str]) -> FixedKeys:
    """Return the keys for an HMAC secret, limited to the ``allowed`` algorithms if there are any.

    Raises:
        ConfigurationError: the secret is too short or a public key, or none of ``allowed`` fits.
    """
    if (size := len(secret.encode())) < 32:
        hint = "generate one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        raise ConfigurationError(f"jwt_secret has {size} bytes; it needs at least 32: {hint}")
    if not (keys := usable_keys(secret, SYMMETRIC_ALGORITHMS)):
        raise ConfigurationError("jwt_secret is a public key, which is no secret: set jwt_public_key instead")
    return FixedKeys(restrict(keys, allowed, "jwt_secret"))


def keys_from_pem(file: Path, allowed: Sequence[str]) -> FixedKeys:
    """Load a public key from a PEM file, limited to the ``allowed`` algorithms if there are any.

    Raises:
        ConfigurationError: the file cannot be read, the key cannot be used, or none of ``allowed`` fits.
    """
    require_cryptography("jwt_public_key")
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"jwt_public_key: cannot read {file}: {why}") from None
    for kind, command in (("PRIVATE KEY", "pkey -in {} -pubout"), ("CERTIFICATE", "x509 -in {} -pubkey -noout")):
        if kind in text:
            hint = f"extract its public key: `openssl {command.format(file)}`"
            raise ConfigurationError(f"jwt_public_key: {file} is a {kind.lower()}; {hint}")
    if not (keys := usable_keys(text, PUBLIC_ALGORITHMS)):
        supported = "RSA (at least 2048 bits), P-256, P-384, P-521 or Ed25519, in PEM"
        raise ConfigurationError(f"jwt_public_key: {file} is not a supported public key: use {supported}")
    return FixedKeys(restrict(keys, allowed, "jwt_public_key"))


def usable_keys(key: Any, algorithms: Iterable[str]) -> dict[str, Any]:
    """Return a secret, a text in PEM or a key object, by each of the algorithms that its kind and length fit."""
    usable = {}
    for name in algorithms:
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            prepared = algorithm.prepare_key(key)
            curve = algorithm.to_jwk(prepared, as_dict=True).get("crv")
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # a key of another kind
        if algorithm.check_key_length(prepared) is None and curve != "Ed448":
            usable[name] = prepared
    return usable


def require_cryptography(setting: str) -> None:
    """Raise ``ConfigurationError`` unless the library for public keys is installed."""
    if not jwt.algorithms.has_crypto:
        raise ConfigurationError(f"{setting} needs the crypto extra: `pip install 'persona_stream[crypto]'`")


def restrict(keys: Mapping[str, Any], allowed: Sequence[str], setting: str) -> dict[str, Any]:
    """Return the keys for the ``allowed`` algorithms. An empty list allows all."""
    if left := {name: key for name, key in keys.items() if not allowed or name in allowed}:
        return left
    fitting = ", ".join(keys)
    raise ConfigurationError(f"jwt_algorithms allows {', '.join(allowed)}, but this {setting} needs one of {fitting}")


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
    - A caller whose key is known never waits for a fetch; those whose key is unknown wait for the same fetch.
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
