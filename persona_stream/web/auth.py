"""Authentication of requests and of the dashboard, and rate limits by caller.

The dashboard takes a token with the scope ``admin``, in a header or in a cookie. No script can read the cookie, and no
other site can make a browser send it. A request that changes something must also come from the dashboard's own page:
browsers say so in ``Sec-Fetch-Site``, older ones in ``Origin``, and only that page can send the header
``X-Persona-Dashboard``, since no preflight is answered here.

Source of the headers ``RateLimit-Policy`` and ``RateLimit``: draft-ietf-httpapi-ratelimit-headers.
"""

from typing import Any

from flask import Request, Response

from persona_stream.auth.base import Verifier
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, InvalidRequest, RateLimited, Unauthorized
from persona_stream.web.local_access import OWN_SITES, has_own_host
from persona_stream.web.responses import current_request, url_prefix
from persona_stream.web.services import Services

DASHBOARD_PATH = "/dashboard"
DASHBOARD_COOKIE = "persona_stream_admin"
DASHBOARD_HEADER = "X-Persona-Dashboard"
_DASHBOARD_SCOPE = "admin"
_MAX_COOKIE_CHARACTERS = 3800  # browsers silently drop longer cookies
_TOKEN_HEADERS = ("Authorization", "x-api-key")


def authenticate(request: Request, verifier: Verifier, scope: str = "chat") -> Principal:
    """Return the principal of a request's token or API key, in ``Authorization`` or else in ``x-api-key``.

    Raises:
        Unauthorized: The token is missing or invalid.
        Forbidden: The token lacks the scope.
    """
    return require_scope(verifier.verify(token_of(request)), scope)


def token_of(request: Request) -> str:
    """Return the token or API key of a request; empty if it has none."""
    api_key = f"Bearer {request.headers.get('x-api-key', '')}"
    scheme, _, token = request.headers.get("Authorization", api_key).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def require_scope(principal: Principal, scope: str) -> Principal:
    """Return the principal; raise ``Forbidden`` if it lacks the scope."""
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
        _hit(services, request.path, "address", request.remote_addr or "")
        raise
    _hit(services, request.path, "caller", request.path, principal.subject)
    return principal


def add_rate_limit_headers(response: Response) -> None:
    """Add the headers that tell the caller the limit and the remaining requests."""
    status = current_request().rate_limit_status
    if status is not None:
        response.headers["RateLimit-Policy"] = f'"caller";q={status.limit};w={status.window}'
        response.headers["RateLimit"] = f'"caller";r={status.remaining};t={status.reset}'


def _hit(services: Services, path: str, *key: str) -> None:
    status = services.rate_limiter.hit(path, *key)
    current_request().rate_limit_status = status
    if status is not None and status.is_exceeded:
        limit = f"{status.limit} requests per {status.window} s"
        raise RateLimited(f"Rate limit of {limit} exceeded; retry in {status.reset} s", retry_after=status.reset)


def has_token(request: Request) -> bool:
    """Return whether a request has a token, valid or not."""
    return _has_token_header(request) or DASHBOARD_COOKIE in request.cookies


def authenticate_admin(request: Request, verifier: Verifier, *, changes: bool = False) -> Principal:
    """Return the principal of a dashboard request, from the token in a header, else from the cookie.

    With ``changes``, for a request that changes something, a request with a cookie must come from the dashboard's page.

    Raises:
        Unauthorized: The token is missing, invalid or expired.
        Forbidden: The token lacks the scope, or a page of another origin sent the request.
    """
    if _has_token_header(request):
        return authenticate(request, verifier, _DASHBOARD_SCOPE)
    principal = require_scope(verifier.verify(request.cookies.get(DASHBOARD_COOKIE, "")), _DASHBOARD_SCOPE)
    if changes:
        check_origin(request)
    return principal


def check_origin(request: Request) -> None:
    """Raise ``Forbidden`` unless the dashboard's own page sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    is_own_page = has_own_host(request) if site is None else site in OWN_SITES
    if not is_own_page or DASHBOARD_HEADER not in request.headers:
        raise Forbidden("Only the dashboard itself may send this request")


def set_session_cookie(response: Response, request: Request, verifier: Verifier, token: str) -> None:
    """Set the cookie until the token expires, or until the browser closes.

    Raises:
        Unauthorized: The token is invalid.
        Forbidden: The token lacks the scope.
        InvalidRequest: The token is too long for a cookie.
    """
    token = token.strip()
    require_scope(verifier.verify(token), _DASHBOARD_SCOPE)
    if len(token) > _MAX_COOKIE_CHARACTERS:
        limit = f"token: must have at most {_MAX_COOKIE_CHARACTERS} characters: browsers drop longer cookies"
        raise InvalidRequest(limit, "token")
    response.set_cookie(DASHBOARD_COOKIE, token, expires=verifier.expiry(token), **_cookie_attributes(request))


def clear_session_cookie(response: Response, request: Request) -> None:
    """Delete the cookie."""
    response.delete_cookie(DASHBOARD_COOKIE, **_cookie_attributes(request))


def _cookie_attributes(request: Request) -> Any:
    return {
        "path": url_prefix(request) + DASHBOARD_PATH,
        "secure": request.is_secure,
        "httponly": True,
        "samesite": "Strict",
    }


def _has_token_header(request: Request) -> bool:
    return any(name in request.headers for name in _TOKEN_HEADERS)
