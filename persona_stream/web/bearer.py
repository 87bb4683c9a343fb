"""Who calls: the bearer token of a request."""

from __future__ import annotations

from flask import Request

from persona_stream.auth.jwt import missing
from persona_stream.auth.verifier import Verifier
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden


def caller(request: Request, verifier: Verifier, scope: str = "chat") -> Principal:
    """Give the principal of a request's token: a bearer token, or where there is none, the one in ``x-api-key``.

    Raises:
        Unauthorized: there is no token, or it does not count.
        Forbidden: it lacks the scope.
    """
    key = f"Bearer {request.headers.get('x-api-key', '')}"
    scheme, _, token = request.headers.get("Authorization", key).partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise missing()
    return allowed(verifier.verify(token), scope)


def allowed(principal: Principal, scope: str) -> Principal:
    """Give a principal that has a scope.

    Raises:
        Forbidden: it lacks that.
    """
    if scope not in principal.scopes:
        challenge = f'Bearer realm="persona_stream", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(f"This token lacks the scope {scope!r}", {"WWW-Authenticate": challenge})
    return principal
