"""Cross-origin access: preflights are answered before anybody is asked for a token.

Never with credentials for ``*``: tokens travel in a header that the page sets itself, so a foreign page gains
nothing from a visitor's browser. What is opened by a cookie is for pages of this origin alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Flask, Request, Response, request

_METHODS = "GET, POST, DELETE, OPTIONS"
_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Persona-Heartbeat",
    "X-Persona-Resume",
    "x-api-key",
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
)
_EXPOSED = "X-Run-Id, Location, Retry-After, x-request-id, request-id"
_STAINLESS = re.compile(r"x-stainless-[a-z0-9-]{1,64}", re.IGNORECASE)
_A_DAY = "86400"


def allow_origins(app: Flask, origins: Sequence[str], own: str) -> None:
    """Answer preflights, and add to every response what lets pages of these origins read it.

    Args:
        origins: exact origins, or ``*``.
        own: the address below which no foreign page may read anything.
    """
    anyone = "*" in origins
    exact = frozenset(origins)

    def preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or _is_below(own):
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = ", ".join((*_HEADERS, *_asked(request)))
        response.headers["Access-Control-Max-Age"] = _A_DAY
        return response

    def add(response: Response) -> Response:
        if _is_below(own):
            return response
        if anyone:
            response.headers.add("Access-Control-Allow-Origin", "*")
        else:
            response.vary.add("Origin")
            if (origin := request.headers.get("Origin")) in exact:
                response.headers["Access-Control-Allow-Origin"] = origin
        response.headers.add("Access-Control-Expose-Headers", _EXPOSED)
        return response

    app.before_request(preflight)
    app.after_request(add)


def _is_below(path: str) -> bool:
    asked = request.path
    return asked == path or asked.startswith(f"{path}/")


def _asked(request: Request) -> list[str]:
    """Give those x-stainless-* headers that the client asked for by name: a wildcard does not exist there."""
    asked = request.headers.get("Access-Control-Request-Headers", "").split(",")
    return [name.strip() for name in asked if _STAINLESS.fullmatch(name.strip())]
