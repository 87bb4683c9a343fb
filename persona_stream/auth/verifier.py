"""Tokens: who may come in.

BearerVerifier        a JSON Web Token's signature and claims
├── FixedKeys         a secret, or a public key in a file
└── PublishedKeys     a JWKS address
Tickets               the right to read one run, for clients that can send no header
"""

from __future__ import annotations

from typing import Protocol

from persona_stream.auth.jwt import BearerVerifier, Rules, invalid, issue, missing
from persona_stream.auth.keys import Keys, from_pem, from_secret, need_crypto, public_algorithms
from persona_stream.auth.tickets import Tickets
from persona_stream.core.clock import Clock, wall_clock
from persona_stream.core.query import Principal
from persona_stream.settings.schema import Settings

__all__ = ["Tickets", "Verifier", "invalid", "issue", "missing", "verifier"]


class Verifier(Protocol):
    """Know callers by their tokens."""

    def verify(self, token: str) -> Principal:
        """Give the caller. Blocks for at most seconds, and only where keys are fetched.

        Raises:
            Unauthorized: the token does not count; it says why, in words and in ``WWW-Authenticate``.
            Unavailable: it cannot be told now.
        """


def verifier(settings: Settings, secret: str, clock: Clock | None = None) -> Verifier:
    """Make the verifier that the settings ask for.

    Args:
        settings: they name a public key or a JWKS address, or neither.
        secret: what signs tokens when they name neither.
        clock: the moment in seconds since 1970, as tokens mean it.

    Raises:
        StartError: it cannot work like this.
    """
    clock = clock or wall_clock()
    rules = Rules(settings.jwt_audience, settings.jwt_issuer, settings.jwt_leeway)
    return BearerVerifier(_keys(settings, secret, clock), rules, clock)


def _keys(settings: Settings, secret: str, clock: Clock) -> Keys:
    if settings.jwt_public_key is not None:
        return from_pem(settings.jwt_public_key, settings.jwt_algorithms)
    if settings.jwks_url is not None:
        need_crypto("jwks_url")
        from persona_stream.auth.jwks import PublishedKeys  # it needs an HTTP library that nobody else here does

        return PublishedKeys(settings.jwks_url, public_algorithms(settings.jwt_algorithms), clock)
    return from_secret(secret, settings.jwt_algorithms)
