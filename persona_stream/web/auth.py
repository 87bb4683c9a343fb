"""Who calls: the bearer token of a request.

Who asks for a run, and whether they may ask again already.

Headers: ``RateLimit-Policy`` and ``RateLimit`` of the IETF's draft (draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

from flask import Flask, Request, Response, g

from persona_stream.auth.jwt import missing_token
from persona_stream.auth.verifier import TokenVerifier
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, RateLimited, Unauthorized
from persona_stream.web.rate_limit import RateLimitStatus
from persona_stream.web.services import Services


def authenticate(request: Request, verifier: TokenVerifier, scope: str = "chat") -> Principal:
    """Give the principal of a request's token: a bearer token, or where there is none, the one in ``x-api-key``.

    Raises:
        Unauthorized: there is no token, or it does not count.
        Forbidden: it lacks the scope.
    """
    key = f"Bearer {request.headers.get('x-api-key', '')}"
    scheme, _, token = request.headers.get("Authorization", key).partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise missing_token()
    return require_scope(verifier.verify(token), scope)


def require_scope(principal: Principal, scope: str) -> Principal:
    """Give a principal that has a scope.

    Raises:
        Forbidden: it lacks that.
    """
    if scope not in principal.scopes:
        challenge = f'Bearer realm="persona_stream", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(f"This token lacks the scope {scope!r}", {"WWW-Authenticate": challenge})
    return principal


def authenticate_and_limit(request: Request, desk: Services) -> Principal:
    """Give the principal of a request for a run.

    Callers are counted for each address of ours apart. Whoever comes without a good token is counted by where they
    come from, so that nobody can guess for long, and nobody behind the same proxy is kept out by it.

    Raises:
        Unauthorized: there is no token, or it does not count.
        Forbidden: it lacks the scope.
        RateLimited: they ask too often.
    """
    try:
        principal = authenticate(request, desk.verifier)
    except Unauthorized:
        _hit(desk, "address", request.remote_addr or "")
        raise
    _hit(desk, "caller", request.path, principal.subject)
    return principal


def add_rate_limit_headers(app: Flask) -> None:
    """Have answers say what is left to the caller."""

    @app.after_request
    def tell(response: Response) -> Response:
        allowance: RateLimitStatus | None = g.get("allowance")
        if allowance is not None:
            response.headers["RateLimit-Policy"] = f'"caller";q={allowance.limit};w={allowance.window}'
            response.headers["RateLimit"] = f'"caller";r={allowance.left};t={allowance.reset}'
        return response


def _hit(desk: Services, *key: str) -> None:
    g.allowance = allowance = desk.rate_limiter.hit(*key)
    if allowance is not None and allowance.is_over:
        raise RateLimited(
            f"You may ask {allowance.limit} times in {allowance.window} s: ask again in {allowance.reset} s",
            retry_after=allowance.reset,
        )
