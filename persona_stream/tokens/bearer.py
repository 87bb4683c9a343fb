"""From a bearer token (RFC 6750, RFC 7519) to the caller that it speaks for."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
from jwt import InvalidSignatureError, PyJWS, PyJWTError

from persona_stream.clock import Clock
from persona_stream.principal import Principal
from persona_stream.tokens.answers import invalid
from persona_stream.tokens.claims import Rules, check
from persona_stream.tokens.keys import Keys

_LONGEST = 8 * 1024
_MOST_REMEMBERED = 10_000
_MALFORMED = "The token is not a JSON Web Token"


class BearerVerifier:
    """Check tokens: signature, claims; and remember those that passed, because a client sends its own again and again.

    What is remembered is a digest, so that a dump of the memory holds no tokens.
    """

    def __init__(self, keys: Keys, rules: Rules, clock: Clock) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._signatures = PyJWS()
        self._remembered: dict[bytes, tuple[Principal, float]] = {}

    def verify(self, token: str) -> Principal:
        if len(token) > _LONGEST:
            raise invalid(f"The token is longer than {_LONGEST} characters")
        if not token.isascii():
            raise invalid(_MALFORMED)
        now = self._clock()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        principal, ends = check(self._claims(token), self._rules, now)
        self._remember(digest, principal, min(ends, now + self._keys.trusted_for))
        return principal

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        self._remembered.pop(digest, None)
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]  # the oldest: a dictionary keeps the order
        self._remembered[digest] = principal, until

    def _claims(self, token: str) -> dict[str, Any]:
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        # A header also may bring a key of its own, or say where one is (jwk, jku, x5c, x5u): nobody looks at those.
        if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
            raise invalid(f"The token's alg must be {' or '.join(self._keys.algorithms)}")
        if not isinstance(kid, str | None):
            raise invalid(_MALFORMED)
        if "crit" in header:
            raise invalid("The token demands an extension (crit) that this server does not have")
        return self._signed(token, algorithm, kid)

    def _signed(self, token: str, algorithm: str, kid: str | None) -> dict[str, Any]:
        candidates = self._keys.find(algorithm, kid)
        if not candidates:
            raise invalid("The token is signed with a key that this server does not know (kid)")
        for key in candidates:
            try:
                payload = self._signatures.decode_complete(token, key, algorithms=[algorithm])["payload"]
            except InvalidSignatureError:
                continue
            except (PyJWTError, ValueError, RecursionError):
                raise invalid(_MALFORMED) from None
            try:
                # Strict where Python's own parser is not: no NaN, no lone surrogates.
                return msgspec.json.decode(payload, type=dict[str, Any])
            except (msgspec.MsgspecError, RecursionError):
                raise invalid("The token's claims are not a JSON object") from None
        raise invalid("The token is not signed with this server's key")


def _header(token: str) -> dict[str, Any]:
    segment = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        raise invalid(_MALFORMED) from None
    if not isinstance(header, dict):
        raise invalid(_MALFORMED)
    return header
