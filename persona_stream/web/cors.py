"""Cross-origin resource sharing.

Preflights are answered before authentication. Credentials are never allowed: tokens travel in a header that the page
sets itself, so a foreign page gains nothing from a visitor's browser. Paths that a cookie opens are for pages of this
origin only.
"""

import re
from collections.abc import Sequence

from flask import Request, Response

from persona_stream.protocols.registry import PROTOCOLS

_METHODS = "GET, POST, DELETE, OPTIONS"
# Without x-should-retry, the SDKs in a browser repeat requests that would fail again.
_EXPOSED_HEADERS = ("X-Run-Id", "Location", "Retry-After", "x-should-retry", "X-Persona-Cache", "WWW-Authenticate")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_MAX_AGE = "86400"  # seconds: one day
_MAX_REQUESTED_HEADERS = 100


class CORSPolicy:
    """Policy for requests from pages of other origins, which may read nothing below ``private_path``."""

    def __init__(self, origins: Sequence[str], private_path: str) -> None:
        self._allows_all = "*" in origins
        self._origins = frozenset(origins)
        self._private_path = private_path

    def preflight(self, request: Request) -> Response | None:
        """Return the response to a preflight; ``None`` if the request is not one."""
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not is_preflight or self._is_private(request):
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        if allowed := _requested_headers(request):
            response.headers["Access-Control-Allow-Headers"] = ", ".join(allowed)
        response.headers["Access-Control-Max-Age"] = _MAX_AGE
        response.vary.add("Access-Control-Request-Headers")  # some CDNs cache the responses to OPTIONS
        return response

    def add_headers(self, request: Request, response: Response) -> None:
        """Add the headers that let pages of the allowed origins read a response."""
        if self._is_private(request):
            return
        if self._allows_all:
            response.headers.add("Access-Control-Allow-Origin", "*")
        else:
            response.vary.add("Origin")
            if (origin := request.headers.get("Origin")) in self._origins:
                response.headers["Access-Control-Allow-Origin"] = origin
        response.headers.add("Access-Control-Expose-Headers", _exposed_headers())

    def _is_private(self, request: Request) -> bool:
        path = request.path
        return path == self._private_path or path.startswith(f"{self._private_path}/")


def _exposed_headers() -> str:
    request_ids = (protocol.request_id_header for protocol in PROTOCOLS.values())
    return ", ".join(dict.fromkeys((*_EXPOSED_HEADERS, *filter(None, request_ids))))


def _requested_headers(request: Request) -> list[str]:
    """Return the header names that a preflight requests; anything that is not a header name is dropped."""
    requested = request.headers.get("Access-Control-Request-Headers", "").split(",", _MAX_REQUESTED_HEADERS)
    return [name for part in requested if _HEADER_NAME.fullmatch(name := part.strip())]
