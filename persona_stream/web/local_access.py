"""Access to a server without authentication: only for programs of this machine, and for the server's own pages.

Any web page can make its visitor's browser send requests to this machine. A page of another origin is recognised by
``Sec-Fetch-Site`` or ``Origin``; one whose domain was pointed at 127.0.0.1 (DNS rebinding) counts as the same origin,
and is recognised by ``Host``.

Source: Fetch Metadata Request Headers, W3C.
"""

from urllib.parse import urlsplit

from flask import Request

from persona_stream.errors import Forbidden
from persona_stream.settings.types import is_loopback

OWN_SITES = ("same-origin", "none")
"""Values of ``Sec-Fetch-Site`` of requests that no page of another origin sent."""


def require_local_request(request: Request) -> None:
    """Raise ``Forbidden`` unless a program of this machine or a page of this server sent the request."""
    if not is_loopback(request.remote_addr or ""):
        raise Forbidden("auth is off, so that this server serves its own machine only")
    if not is_loopback(_host_name(request)):
        raise Forbidden("auth is off, so that Host must be 127.0.0.1, [::1] or localhost")
    if not is_own_page(request):
        raise Forbidden("auth is off, so that pages of other origins may not use this server")


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:  # half a bracket
        return ""


def is_own_page(request: Request) -> bool:
    """Return whether no page of another origin sent the request; a link that was followed counts as no page."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    follows_link = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    is_own_origin = origin is None or origin == f"{request.scheme}://{request.host}"
    return is_own_origin and (site in OWN_SITES or follows_link)


def has_own_host(request: Request) -> bool:
    """Return whether ``Origin`` is absent or has the host of the request; its scheme may be that of a proxy."""
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[1:] == ("://", request.host)
