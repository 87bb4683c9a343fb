"""``/`` and ``/streaming_test.html``: the test page."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from flask import Blueprint, Response

from persona_stream.web.openapi.operations import Operation, ResponseSpec
from persona_stream.web.openapi.routes import PAGES
from persona_stream.web.responses import page_response

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_PAGE = ResponseSpec.text("The test page.", "text/html")


def blueprint() -> Blueprint:
    """Return the blueprint of the test page."""
    blueprint = Blueprint("pages", __name__)
    page = resources.files("persona_stream").joinpath("pages/streaming_test.html").read_text("utf-8")
    policy = _content_security_policy(page)

    @blueprint.get("/")
    @Operation("Open the test page", [PAGES], _PAGE, security=())
    def test_page() -> Response:
        return page_response(page, "text/html; charset=utf-8", policy)

    @blueprint.get("/streaming_test.html")
    @Operation("Open the test page by its file name", [PAGES], _PAGE, security=())
    def test_page_by_name() -> Response:
        return test_page()

    return blueprint


def _content_security_policy(page: str) -> str:
    """Return a policy that allows the page's own script and style and blocks any that an answer could inject."""
    sources: dict[str, list[str]] = {"script": [], "style": []}
    for kind, body in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        sources[kind].append(f"'sha256-{digest}'")
    # connect-src is open, because the page can be pointed at any server.
    return (
        f"default-src 'none'; script-src {' '.join(sources['script'])}; style-src {' '.join(sources['style'])};"
        " img-src data:; connect-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
