"""Authentication by the Flask application into which this one is mounted.

The host may authenticate by a cookie, which browsers send for pages of any origin. Requests that change something must
therefore come from a page of the same origin and carry JSON, which no form can send (OWASP, Cross-Site Request Forgery
Prevention).
"""

from collections.abc import Callable

from flask import Flask, Request, request

from persona_stream.auth.base import is_valid_subject
from persona_stream.core.query import Principal
from persona_stream.errors import Forbidden, Unauthorized, UnsupportedMediaType
from persona_stream.web.local_access import is_own_page

Authenticate = Callable[[Request], Principal | None]
"""Returns the caller of a request, or ``None``. It must not read the body."""

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class HostVerifier:
    """Verifier that asks a function of the host about the current request, with the host's session."""

    def __init__(self, host: Flask, authenticate: Authenticate) -> None:
        self._host = host
        self._authenticate = authenticate

    def verify(self, token: str) -> Principal:
        """Return the caller; ``Unauthorized`` if the host knows none."""
        environ = request.environ
        with self._host.request_context(environ) as context:
            principal = self._authenticate(context.request)
        if principal is None:
            raise Unauthorized("Log in first")
        if not is_valid_subject(principal.subject):
            raise ValueError(f"authenticate() returned the subject {principal.subject!r:.100}")
        return principal

    def expiry(self, token: str) -> float | None:
        """Return ``None``: the host decides with each request."""
        return None


def require_own_origin() -> None:
    """Raise an error if a page of another origin may have sent the current request.

    Raises:
        Forbidden: it comes from another origin.
        UnsupportedMediaType: its body is not declared as JSON.
    """
    if request.method in _SAFE_METHODS:
        return
    if not is_own_page(request):
        raise Forbidden("Only pages of this origin may send this request")
    has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
    if has_body and not request.is_json:
        raise UnsupportedMediaType("Content-Type: must be application/json")
