"""Authentication of the dashboard: a token with the scope ``admin``, in a header or in a cookie.

No script can read the cookie, and no other site can make a browser send it. A request that changes something must also
come from the dashboard's own page: browsers say so in ``Sec-Fetch-Site``, older ones in ``Origin``, and only that page
can send the header ``X-Persona-Dashboard``, since no preflight is answered here.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, Response

from persona_stream.auth.jwt import TokenVerifier, missing_token, token_expiry
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, InvalidRequest
from persona_stream.web.auth import authenticate, require_scope

PATH = "/dashboard"
COOKIE = "persona_stream_admin"
HEADER = "X-Persona-Dashboard"
_TOKEN_HEADERS = ("Authorization", "x-api-key")
_SCOPE = "admin"
_MAX_COOKIE_CHARACTERS = 3800  # browsers silently drop longer cookies


def has_token(request: Request) -> bool:
    """Return whether a request has a token, valid or not."""
    return _has_token_header(request) or COOKIE in request.cookies


def authenticate_admin(request: Request, verifier: TokenVerifier, *, changes: bool = False) -> Principal:
    """Return the principal of a dashboard request, from the token in a header, else from the cookie.

    Args:
        request: The request.
        verifier: Verifier of tokens.
        changes: Whether the request changes something.

    Raises:
        Unauthorized: The token is missing, invalid or expired.
        Forbidden: The token lacks the scope, or a page of another origin sent the request.
    """
    if _has_token_header(request):
        return authenticate(request, verifier, _SCOPE)
    token = request.cookies.get(COOKIE)
    if not token:
        raise missing_token()
    if changes:
        check_origin(request)
    return require_scope(verifier.verify(token), _SCOPE)


def check_origin(request: Request) -> None:
    """Raise an error unless the dashboard's own page sent the request.

    Raises:
        Forbidden: Another page sent the request.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_own_page = site in ("same-origin", "none")
    else:
        is_own_page = origin is None or urlsplit(origin).netloc == request.host
    if not is_own_page or HEADER not in request.headers:
        raise Forbidden("Only the dashboard itself may send this request")


def set_session_cookie(response: Response, request: Request, verifier: TokenVerifier, token: str) -> None:
    """Set the cookie until the token expires.

    Raises:
        Unauthorized: The token is invalid.
        Forbidden: The token lacks the scope.
        InvalidRequest: The token is too long for a cookie.
    """
    token = token.strip()
    require_scope(verifier.verify(token), _SCOPE)
    if len(token) > _MAX_COOKIE_CHARACTERS:
        raise InvalidRequest(
            f"token: must have at most {_MAX_COOKIE_CHARACTERS} characters: browsers drop longer cookies", "token"
        )
    expires = token_expiry(token)
    response.set_cookie(
        COOKIE, token, expires=expires, path=PATH, secure=request.is_secure, httponly=True, samesite="Strict"
    )


def clear_session_cookie(response: Response, request: Request) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path=PATH, secure=request.is_secure, httponly=True, samesite="Strict")


def _has_token_header(request: Request) -> bool:
    return any(name in request.headers for name in _TOKEN_HEADERS)
