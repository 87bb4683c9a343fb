"""Make tokens, where we hold the secret."""

from __future__ import annotations

import math
from typing import Any

import jwt

from persona_stream.core.clock import Clock, wall_clock
from persona_stream.errors import StartError
from persona_stream.settings.schema import Settings
from persona_stream.tokens.claims import is_subject
from persona_stream.tokens.keys import from_secret


def issue(
    secret: str,
    subject: str,
    expires: float,
    scope: str = "",
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> str:
    """Make a token that a verifier of the same secret and settings takes.

    Args:
        secret: the configured secret, or the made one.
        subject: who calls.
        expires: after how many seconds it ends.
        scope: scopes with spaces between; an empty one leaves the claim out, which means ``chat``.
        settings: what the verifier asks for: audience, issuer, algorithms.
        clock: the moment in seconds since 1970.

    Raises:
        StartError: tokens are checked with a public key, or the secret cannot be used.
        ValueError: nobody can be called this.
    """
    settings, clock = settings or Settings(), clock or wall_clock()
    if settings.jwt_public_key is not None or settings.jwks_url is not None:
        name = "jwt_public_key" if settings.jwt_public_key is not None else "jwks_url"
        raise StartError(
            f"Tokens are checked with {name} here, and only who holds its private key can make one: ask whoever does"
        )
    if not is_subject(subject):
        raise ValueError("a user's name is not blank and has no control characters")
    claims: dict[str, Any] = {"sub": subject, "exp": math.ceil(clock() + expires)}
    if scope:
        claims["scope"] = scope
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    keys = from_secret(secret, settings.jwt_algorithms)
    return jwt.encode(claims, secret, algorithm=keys.algorithms[0])
