"""The document as a page, drawn by Scalar out of the package ``offapi``, with no other network than this server.

Of the three renderers in that package, this one shows what a stream is: its events, and how they go over the wire.
"""

from __future__ import annotations

import html
import importlib.util
from pathlib import Path

import msgspec

DOCUMENT, SCRIPT = "/openapi.json", "/docs/scalar.js"

# Its vendor's services are off: fonts and telemetry from afar, a chat, adverts, a button that sends the document away.
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
    # There is no setting for the advert of a service that takes the document away.
    "customCss": ".generate-sdk-button, .scalar-button-gradient[aria-haspopup=dialog] { display: none !important }",
}
# And where a setting is missing, the browser holds it back.
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
<title>persona_stream: the API</title>
<link rel="icon" href="data:,">
"""
_DRAWN = f"""{_HEAD}\
<style>body {{ margin: 0 }}</style>
</head>
<body>
<noscript>This page needs JavaScript; the same is in <a href="{DOCUMENT}">{DOCUMENT}</a>.</noscript>
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
<h1>The API of persona_stream</h1>
<p>The whole API, in the words of OpenAPI 3.2, is in <a href="{DOCUMENT}">{DOCUMENT}</a>.</p>
<p>To read it here as a page, also without a network, install what draws it, and start the server again:</p>
<pre><code>pip install 'persona_stream[docs]'</code></pre>
</body>
</html>
"""


def renderer() -> Path | None:
    """Find the script that draws the page, or ``None`` where the extra ``docs`` is not installed."""
    # Not imported: the package would read all of its renderers into memory, 9 MB of which we need half, from disk.
    found = importlib.util.find_spec("offapi")
    for folder in found.submodule_search_locations or () if found else ():
        script = Path(folder) / "scalar.js"
        if script.is_file():
            return script
    return None


def page(*, drawn: bool) -> str:
    """Give the page: drawn by the renderer, or the plain one that says how to get it."""
    return _DRAWN if drawn else _PLAIN
