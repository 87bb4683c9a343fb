"""``/openapi.json`` and ``/docs``: the OpenAPI document, and its page.

The page is rendered by Scalar from the package ``offapi``, without access to other hosts. Of the renderers in that
package, Scalar is the one that displays the events of a stream.
"""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from flask import Blueprint, Response, current_app, send_file

from persona_stream.errors import NotFound
from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web.openapi.operations import Body, Operation, Parameter, ResponseSpec, Tag
from persona_stream.web.responses import page_response, revalidated

DOCUMENT = "/openapi.json"
SCRIPT = "/docs/scalar.js"

# The vendor's services are off: remote fonts, telemetry, chat, adverts, and uploads of the document.
_CONFIGURATION = {
    "agent": {"disabled": True},
    "mcp": {"disabled": True},
    "showDeveloperTools": "never",
    "hideClientButton": True,
    "withDefaultFonts": False,
    "telemetry": False,
    "documentDownloadType": "direct",
    "theme": "default",
    "orderSchemaPropertiesBy": "preserve",
    "orderRequiredPropertiesFirst": False,
    "defaultOpenAllTags": True,
    # There is no setting that hides the advert for the vendor's SDK generator.
    "customCss": ".generate-sdk-button, .scalar-button-gradient[aria-haspopup=dialog] { display: none !important }",
}
# The browser blocks the services that no setting turns off.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>persona_stream API</title>
<link rel="icon" href="data:,">
"""
_RENDERED = f"""{_HEAD}\
<style>body {{ margin: 0 }}</style>
</head>
<body>
<noscript>This page needs JavaScript. The document itself is at <a href="{DOCUMENT}">{DOCUMENT}</a>.</noscript>
<script id="api-reference" data-url="{DOCUMENT}"
 data-configuration="{html.escape(msgspec.json.encode(_CONFIGURATION).decode())}"></script>
<script src="{SCRIPT}"></script>
</body>
</html>
"""
_PLAIN = f"""{_HEAD}\
<style>body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head>
<body>
<h1>persona_stream API</h1>
<p>The API is described by the OpenAPI 3.2 document at <a href="{DOCUMENT}">{DOCUMENT}</a>.</p>
<p>To browse it on this page, which works offline, install the extra <code>docs</code> and restart the server:</p>
<pre><code>pip install 'persona_stream[docs]'</code></pre>
</body>
</html>
"""

PAGES = Tag("Pages", "Pages for a browser.")
_ETAG = Parameter("header", "ETag", "Version of the document, to be sent as `If-None-Match`.", required=True)


def find_renderer() -> Path | None:
    """Return the path of the script that renders the page, or ``None`` without the extra ``docs``."""
    # Importing the package would load all of its renderers into memory (9 MB).
    spec = importlib.util.find_spec("offapi")
    for folder in spec.submodule_search_locations or () if spec else ():
        script = Path(folder) / "scalar.js"
        if script.is_file():
            return script
    return None


def blueprint(renderer: Callable[[], Path | None] = find_renderer) -> Blueprint:
    """Return the blueprint of the document and its page.

    Args:
        renderer: returns the path of the script that renders the page, or ``None`` if it is not installed.
    """
    blueprint = Blueprint("openapi", __name__)
    script = renderer()

    @cache
    def document() -> bytes:
        # Built on the first request: by then all chunkers are registered, and the start of the server stays fast.
        from persona_stream.web.openapi.document import build_document

        return msgspec.json.encode(build_document(current_app))

    @blueprint.get(DOCUMENT)
    @Operation(
        "Get the OpenAPI document",
        [PAGES],
        ResponseSpec("The document.", [Body.json(dict)], [_ETAG]),
        security=(),
        parameters=[Parameter("header", "If-None-Match", "`ETag` of the copy that the client has.")],
        responses={304: ResponseSpec("The client's copy is current.", headers=[_ETAG])},
    )
    def openapi() -> Response:
        return revalidated(Response(document(), content_type="application/json"))

    @blueprint.get("/docs")
    @Operation(
        "Browse the OpenAPI document",
        [PAGES],
        ResponseSpec.text("The page, which works offline.", "text/html"),
        security=(),
    )
    def docs() -> Response:
        return page_response(_PLAIN if script is None else _RENDERED, "text/html; charset=utf-8", POLICY)

    @blueprint.get(SCRIPT)
    @Operation(
        "Get the script of the page",
        [PAGES],
        ResponseSpec.text("The script.", "text/javascript"),
        security=(),
        responses={404: ResponseSpec.json("The extra `docs` is not installed.", ErrorFrame)},
    )
    def docs_script() -> Response:
        if script is None:
            raise NotFound("The page needs the extra docs: pip install 'persona_stream[docs]'")
        response = send_file(script, mimetype="text/javascript", conditional=True)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return blueprint
