"""``/`` and ``/streaming_test.html``: the test page."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from flask import Blueprint, Response

from persona_stream.web.openapi.operations import Operation, describe, text_spec
from persona_stream.web.openapi.routes import PAGES

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)

_GET_PAGE = Operation(
    id="testPage",
    summary="Open the test page",
    tags=(PAGES,),
    security=(),
    responses={200: text_spec("The test page.", "text/html")},
)
_GET_PAGE_BY_NAME = Operation(
    id="testPageByName",
    summary="Open the test page by its file name",
    tags=(PAGES,),
    security=(),
    responses={200: text_spec("The test page.", "text/html")},
)


def blueprint() -> Blueprint:
    """Return the blueprint of the test page."""
    blueprint = Blueprint("pages", __name__)
    page = resources.files("persona_stream").joinpath("pages/streaming_test.html").read_text("utf-8")
    policy = _content_security_policy(page)

    @blueprint.get("/")
    @describe(_GET_PAGE)
    def index() -> Response:
        return streaming_test()

    @blueprint.get("/streaming_test.html")
    @describe(_GET_PAGE_BY_NAME)
    def streaming_test() -> Response:
        response = Response(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = policy
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

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
