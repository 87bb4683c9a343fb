"""Who may look at the dashboard: whoever has a token with the scope ``admin``.

A browser brings it in a cookie that no script can read and no other site can have sent. What changes something must
besides come from our own page: a browser says so in ``Sec-Fetch-Site``, an older one in ``Origin``, and in either case
only our page can send the header ``X-Persona-Dashboard``, for no preflight is ever answered here.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, Response

from persona_stream.auth.jwt import missing_token, token_expiry
from persona_stream.auth.verifier import TokenVerifier
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, InvalidRequest
from persona_stream.web.auth import authenticate, require_scope

PATH = "/dashboard"
COOKIE = "persona_stream_admin"
HEADER = "X-Persona-Dashboard"
_HEADERS = ("Authorization", "x-api-key")
_SCOPE = "admin"
_LONGEST = 3800  # characters: browsers drop longer cookies, and say nothing


def has_token(request: Request) -> bool:
    """Tell whether a request brings a token at all, good or not."""
    return any(name in request.headers for name in _HEADERS) or COOKIE in request.cookies


def authenticate_admin(request: Request, verifier: TokenVerifier, *, changes: bool = False) -> Principal:
    """Give who looks at the dashboard, by the token in a header, or the one in the cookie.

    Args:
        changes: whether the request changes something.

    Raises:
        Unauthorized: nobody has logged in, or not for so long.
        Forbidden: the token lacks the scope, or another site's page has sent this.
    """
    if any(name in request.headers for name in _HEADERS):
        return authenticate(request, verifier, _SCOPE)
    token = request.cookies.get(COOKIE)
    if not token:
        raise missing_token()
    if changes:
        check_origin(request)
    return require_scope(verifier.verify(token), _SCOPE)


def check_origin(request: Request) -> None:
    """See that our own page has sent this.

    Raises:
        Forbidden: it has not.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or urlsplit(origin).netloc == request.host
    if not is_ours or HEADER not in request.headers:
        raise Forbidden("This can only be asked for from the dashboard itself")


def set_session_cookie(response: Response, request: Request, verifier: TokenVerifier, token: str) -> None:
    """Give a browser the cookie, for as long as the token holds.

    Raises:
        Unauthorized: the token does not count.
        Forbidden: it lacks the scope.
        InvalidRequest: it is too long.
    """
    token = token.strip()
    require_scope(verifier.verify(token), _SCOPE)
    if len(token) > _LONGEST:
        raise InvalidRequest(
            f"token: is longer than {_LONGEST} characters, and no browser keeps such a cookie", "token"
        )
    expires = token_expiry(token)
    response.set_cookie(
        COOKIE, token, expires=expires, path=PATH, secure=request.is_secure, httponly=True, samesite="Strict"
    )


def clear_session_cookie(response: Response, request: Request) -> None:
    """Take the cookie back."""
    response.delete_cookie(COOKIE, path=PATH, secure=request.is_secure, httponly=True, samesite="Strict")
