"""Tokens: who may come in.

BearerVerifier        a JSON Web Token's signature and claims
├── FixedKeys         a secret, or a public key in a file
└── PublishedKeys     a JWKS address
Tickets               the right to read one run, for clients that can send no header
"""

from __future__ import annotations

from typing import Protocol

from persona_stream.auth.jwt import ClaimRules, JWTVerifier, invalid_token, issue_token, missing_token
from persona_stream.auth.keys import KeySource, keys_from_pem, keys_from_secret, public_algorithms, require_cryptography
from persona_stream.auth.tickets import RunURLSigner
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.core.query import Principal
from persona_stream.settings.schema import Settings

__all__ = ["RunURLSigner", "TokenVerifier", "create_verifier", "invalid_token", "issue_token", "missing_token"]


class TokenVerifier(Protocol):
    """Know callers by their tokens."""

    def verify(self, token: str) -> Principal:
        """Give the caller. Blocks for at most seconds, and only where keys are fetched.

        Raises:
            Unauthorized: the token does not count; it says why, in words and in ``WWW-Authenticate``.
            Unavailable: it cannot be told now.
        """


def create_verifier(settings: Settings, secret: str, clock: Clock | None = None) -> TokenVerifier:
    """Make the verifier that the settings ask for.

    Args:
        settings: they name a public key or a JWKS address, or neither.
        secret: what signs tokens when they name neither.
        clock: the moment in seconds since 1970, as tokens mean it.

    Raises:
        ConfigurationError: it cannot work like this.
    """
    clock = clock or monotonic_wall_clock()
    rules = ClaimRules(settings.jwt_audience, settings.jwt_issuer, settings.jwt_leeway)
    return JWTVerifier(_keys(settings, secret, clock), rules, clock)


def _keys(settings: Settings, secret: str, clock: Clock) -> KeySource:
    if settings.jwt_public_key is not None:
        return keys_from_pem(settings.jwt_public_key, settings.jwt_algorithms)
    if settings.jwks_url is not None:
        require_cryptography("jwks_url")
        from persona_stream.auth.jwks import JWKSKeySource  # it needs an HTTP library that nobody else here does

        return JWKSKeySource(settings.jwks_url, public_algorithms(settings.jwt_algorithms), clock)
    return keys_from_secret(secret, settings.jwt_algorithms)
