"""Verifier of bearer tokens, as the settings configure it."""

from __future__ import annotations

from typing import Protocol

from persona_stream.auth.jwt import JWTVerifier
from persona_stream.auth.keys import KeySource, keys_from_pem, keys_from_secret, require_cryptography
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.core.query import Principal
from persona_stream.settings.schema import Settings


class TokenVerifier(Protocol):
    """Verifier of bearer tokens."""

    def verify(self, token: str) -> Principal:
        """Return the caller that a token names. Blocks only while keys are fetched, for some seconds at most.

        Raises:
            Unauthorized: the token is not valid; the reason is in the message and in ``WWW-Authenticate``.
            Unavailable: the keys cannot be fetched.
        """


def create_verifier(settings: Settings, secret: str, clock: Clock | None = None) -> TokenVerifier:
    """Create the verifier for these settings.

    Args:
        settings: a public key, a JWKS URL, or neither.
        secret: the HMAC secret, used when they name neither.
        clock: wall clock, in seconds since 1970.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    clock = clock or monotonic_wall_clock()
    return JWTVerifier(_key_source(settings, secret, clock), clock, settings)


def _key_source(settings: Settings, secret: str, clock: Clock) -> KeySource:
    if settings.jwt_public_key is not None:
        return keys_from_pem(settings.jwt_public_key, settings.jwt_algorithms)
    if settings.jwks_url is not None:
        require_cryptography("jwks_url")
        from persona_stream.auth.jwks import JWKSKeySource  # imports an HTTP client that no other module here needs

        return JWKSKeySource(settings.jwks_url, settings.jwt_algorithms, clock)
    return keys_from_secret(secret, settings.jwt_algorithms)
