"""``/`` and ``/streaming_test.html``: the page on which a person tries it."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from flask import Blueprint, Response

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def blueprint() -> Blueprint:
    """Give the blueprint of the page."""
    blueprint = Blueprint("pages", __name__)
    page = resources.files("persona_stream").joinpath("pages/streaming_test.html").read_text("utf-8")
    policy = _policy(page)

    @blueprint.get("/")
    @blueprint.get("/streaming_test.html")
    def streaming_test() -> Response:
        response = Response(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = policy
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return blueprint


def _policy(page: str) -> str:
    """Let the page run its own script and style, and nothing that an answer could bring in."""
    sources: dict[str, list[str]] = {"script": [], "style": []}
    for kind, body in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        sources[kind].append(f"'sha256-{digest}'")
    # connect-src is open: the page can be pointed at any server.
    return (
        f"default-src 'none'; script-src {' '.join(sources['script'])}; style-src {' '.join(sources['style'])};"
        " img-src data:; connect-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
