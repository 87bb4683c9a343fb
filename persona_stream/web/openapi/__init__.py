"""``/openapi.json`` and ``/docs``: the wire, described by the types that parse and write it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from flask import Blueprint, Response, request, send_file

from persona_stream.errors import NotFound
from persona_stream.web.openapi import page


def blueprint(renderer: Callable[[], Path | None] = page.renderer) -> Blueprint:
    """Give the blueprint of the document and its page.

    Args:
        renderer: finds the script that draws the page; ``None`` where there is none.
    """
    blueprint = Blueprint("openapi", __name__)
    script = renderer()

    @blueprint.get(page.DOCUMENT)
    def openapi() -> Response:
        return _known(Response(_document(), content_type="application/json"))

    @blueprint.get("/docs")
    def docs() -> Response:
        response = Response(page.page(drawn=script is not None), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = page.POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return _known(response)

    @blueprint.get(page.SCRIPT)
    def docs_script() -> Response:
        if script is None:
            raise NotFound("The page is not drawn here: pip install 'persona_stream[docs]'")
        response = send_file(script, mimetype="text/javascript", conditional=True)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return blueprint


@cache
def _document() -> bytes:
    # Built when it is first asked for: whatever is registered at start (chunkers, say) is in it, and a start, which
    # seldom is for this, does not wait for the many types of the wire to be read.
    from persona_stream.web.openapi.document import build

    return msgspec.json.encode(build())


def _known(response: Response) -> Response:
    """Let a client that has this already keep its copy, and ask each time whether it still may."""
    response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response
