"""From a bearer token (RFC 6750, RFC 7519) to the caller that it speaks for."""

from __future__ import annotations

import hashlib
from typing import Any

from persona_stream.core.clock import Clock
from persona_stream.core.query import Principal
from persona_stream.tokens.answers import invalid
from persona_stream.tokens.claims import Rules, check
from persona_stream.tokens.compact import Signed, parse
from persona_stream.tokens.keys import Keys

_LONGEST = 8 * 1024
_MALFORMED = "The token is not a JSON Web Token"


class BearerVerifier:
    """Check tokens: signature, claims; and remember those that passed, because a client sends its own again and again.

    What is remembered is a digest, so that a dump of the memory holds no tokens.
    """

    def __init__(self, keys: Keys, rules: Rules, clock: Clock, remembers: int = 10_000) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._remembers = remembers
        self._remembered: dict[bytes, tuple[Principal, float]] = {}

    def verify(self, token: str) -> Principal:
        if len(token) > _LONGEST:
            raise invalid(f"The token is longer than {_LONGEST} characters")
        now = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        principal, ends = check(self._claims(token), self._rules, now)
        self._remember(digest, principal, min(ends, now + self._keys.trusted_for))
        return principal

    @property
    def remembered(self) -> int:
        """Say how many tokens are remembered."""
        return len(self._remembered)

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        self._remembered.pop(digest, None)
        if len(self._remembered) >= self._remembers:
            del self._remembered[next(iter(self._remembered))]  # the oldest: a dictionary keeps the order
        self._remembered[digest] = principal, until

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            signed = parse(token)
        except ValueError:
            raise invalid(_MALFORMED) from None
        self._check_signature(signed)
        try:
            return signed.claims()
        except ValueError:
            raise invalid("The token's claims are not a JSON object") from None

    def _check_signature(self, signed: Signed) -> None:
        # A header may also bring a key of its own, or say where one is (jwk, jku, x5c, x5u): nobody looks at those.
        algorithm, kid = signed.header.get("alg"), signed.header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
            raise invalid(f"The token's alg must be {' or '.join(self._keys.algorithms)}")
        if not isinstance(kid, str | None):
            raise invalid(_MALFORMED)
        if "crit" in signed.header:
            raise invalid("The token demands an extension (crit) that this server does not have")
        candidates = self._keys.find(algorithm, kid)
        if not candidates:
            raise invalid("The token is signed with a key that this server does not know (kid)")
        if not any(signed.is_signed_with(key, algorithm) for key in candidates):
            raise invalid("The token is not signed with this server's key")
