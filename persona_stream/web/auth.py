"""Authentication of requests, and rate limits by caller.

Source of the headers ``RateLimit-Policy`` and ``RateLimit``: draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

from flask import Request, Response, g

from persona_stream.auth.jwt import TokenVerifier, missing_token
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, RateLimited, Unauthorized
from persona_stream.web.rate_limit import RateLimitStatus
from persona_stream.web.services import Services


def authenticate(request: Request, verifier: TokenVerifier, scope: str = "chat") -> Principal:
    """Return the principal of a request's token: the bearer token, else the one in ``x-api-key``.

    Raises:
        Unauthorized: The token is missing or invalid.
        Forbidden: The token lacks the scope.
    """
    api_key = f"Bearer {request.headers.get('x-api-key', '')}"
    scheme, _, token = request.headers.get("Authorization", api_key).partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise missing_token()
    return require_scope(verifier.verify(token), scope)


def require_scope(principal: Principal, scope: str) -> Principal:
    """Return the principal if it has the scope.

    Raises:
        Forbidden: The principal lacks the scope.
    """
    if scope not in principal.scopes:
        challenge = f'Bearer realm="persona_stream", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(f"This token lacks the scope {scope!r}", {"WWW-Authenticate": challenge})
    return principal


def authenticate_and_limit(request: Request, services: Services) -> Principal:
    """Return the principal of a request that starts a run, and count the request.

    Callers are counted separately on each path. Requests without a valid token are counted by IP address, which slows
    down guessing and does not lock out valid callers behind the same proxy.

    Raises:
        Unauthorized: The token is missing or invalid.
        Forbidden: The token lacks the scope.
        RateLimited: The caller has reached the limit.
    """
    try:
        principal = authenticate(request, services.verifier)
    except Unauthorized:
        _hit(services, "address", request.remote_addr or "")
        raise
    _hit(services, "caller", request.path, principal.subject)
    return principal


def add_rate_limit_headers(response: Response) -> None:
    """Add the headers that tell the caller the limit and the remaining requests."""
    status: RateLimitStatus | None = g.get("rate_limit_status")
    if status is not None:
        response.headers["RateLimit-Policy"] = f'"caller";q={status.limit};w={status.window}'
        response.headers["RateLimit"] = f'"caller";r={status.remaining};t={status.reset}'


def _hit(services: Services, *key: str) -> None:
    status = services.rate_limiter.hit(*key)
    g.rate_limit_status = status
    if status is not None and status.is_exceeded:
        raise RateLimited(
            f"Rate limit of {status.limit} requests per {status.window} s exceeded; retry in {status.reset} s",
            retry_after=status.reset,
        )
