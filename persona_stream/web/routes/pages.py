"""Pages for a browser: the test page ``/``, the API page ``/docs`` with its ``/openapi.json``, and ``/dashboard``.

No page loads anything from another host. The API page is rendered by Scalar from the package ``offapi``: of the
renderers in that package, Scalar is the one that displays the events of a stream.
"""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from importlib import resources, util
from pathlib import Path

import msgspec
from flask import Blueprint, Response, current_app, request, send_file

from persona_stream.errors import NotFound
from persona_stream.extras import install_command
from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web import auth, responses
from persona_stream.web.openapi import Body, ErrorSpec, Operation, Parameter, ResponseSpec, Tag, components

_MAX_PREFIXES = 4
_HTML = "text/html; charset=utf-8"
# Not by the module mimetypes: some systems map .js to text/plain, and browsers refuse to run such a script.
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_ASSET_TYPES = {".js": "text/javascript", ".toml": "text/plain", ".txt": "text/plain"}  # licences are texts
_DASHBOARD_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify"
)
# Links from the root of the server; scripts and styles, of which the policy has the hashes, stay as they are.
_ROOT_LINK = re.compile(r"(<(script|style)>.*?</\2>)|(\b(?:href|src|data-url)=\")(/)(?!/)", re.DOTALL)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
# The browser blocks the renderer's services that no setting turns off.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

PAGES = Tag("Pages", "Pages for a browser.")
_TEST_PAGE = ResponseSpec.text("The test page.", "text/html")
_ETAG = Parameter("header", "ETag", "Version of the document, to be sent as `If-None-Match`.", required=True)
_FILE_NOT_FOUND = ErrorSpec(NotFound("File not found"), "No file has this name.", name="FileNotFound")
_operation = partial(Operation, tags=[PAGES], security=())
_dashboard_operation = partial(Operation, tags=[components.DASHBOARD_TAG], security=())


class StaticFile(msgspec.Struct, frozen=True):
    """Static file, which is a text, and its media type."""

    body: bytes
    media_type: str


def find_renderer() -> Path | None:
    """Return the path of the script that renders the API page, or ``None`` without the extra ``docs``."""
    # Importing the package would load all of its renderers into memory (9 MB).
    spec = util.find_spec("offapi")
    script = Path(spec.origin).with_name("scalar.js") if spec and spec.origin else None
    return script if script and script.is_file() else None


def blueprint(renderer: Callable[[], Path | None] = find_renderer) -> Blueprint:
    """Return the blueprint of the pages.

    Args:
        renderer: returns the path of the script that renders the API page, or ``None`` if it is not installed.
    """
    blueprint = Blueprint("pages", __name__)
    script = renderer()
    docs_page = _read_page("docs_without_renderer.html" if script is None else "docs.html")
    page = _read_page("streaming_test.html")
    dashboard_files = cache(partial(load_static_files, "dashboard", _MEDIA_TYPES))
    assets = cache(partial(load_static_files, "assets", _ASSET_TYPES))
    policy = _content_security_policy(page)

    @lru_cache(maxsize=_MAX_PREFIXES)
    def document(prefix: str) -> bytes:
        # Built on the first request: by then all chunkers are registered, and the start of the server stays fast.
        from persona_stream.web.openapi.document import build_document

        return msgspec.json.encode(build_document(current_app, prefix))

    def page_below_prefix(body: str, policy: str) -> Response:
        return responses.page_response(_add_prefix(body, responses.url_prefix(request)), _HTML, policy)

    def static_file(files: Mapping[str, StaticFile], name: str) -> Response:
        file = files.get(name)
        if file is None:
            raise NotFound("File not found")
        content_type = f"{file.media_type}; charset=utf-8"
        if content_type == _HTML:
            return page_below_prefix(file.body.decode(), _DASHBOARD_POLICY)
        return responses.page_response(file.body, content_type, _DASHBOARD_POLICY)

    @blueprint.get("/openapi.json")
    @_operation(
        "Get the OpenAPI document",
        ResponseSpec("The document.", [Body.json(dict)], [_ETAG]),
        parameters=[Parameter("header", "If-None-Match", "`ETag` of the copy that the client has.")],
        responses={304: ResponseSpec("The client's copy is current.", headers=[_ETAG])},
    )
    def openapi() -> Response:
        return responses.revalidated(Response(document(responses.url_prefix(request)), content_type="application/json"))

    @blueprint.get("/docs")
    @_operation("Browse the OpenAPI document", ResponseSpec.text("The page, which works offline.", "text/html"))
    def docs() -> Response:
        return page_below_prefix(docs_page, _DOCS_POLICY)

    @blueprint.get("/docs/scalar.js")
    @_operation(
        "Get the script of the page",
        ResponseSpec.text("The script.", "text/javascript"),
        responses={404: ResponseSpec.json("The extra `docs` is not installed.", ErrorFrame)},
    )
    def docs_script() -> Response:
        if script is None:
            raise NotFound(f"The page needs its renderer: {install_command('docs')}")
        response = send_file(script, mimetype="text/javascript", conditional=True)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @blueprint.get("/")
    @_operation("Open the test page", _TEST_PAGE)
    def test_page() -> Response:
        return page_below_prefix(page, policy)

    @blueprint.get("/streaming_test.html")
    @_operation("Open the test page by its file name", _TEST_PAGE)
    def test_page_by_name() -> Response:
        return test_page()

    @blueprint.get("/assets/<name>")
    @_operation(
        "Get a file of the pages",
        ResponseSpec.text("The file.", *dict.fromkeys(_ASSET_TYPES.values())),
        parameters=[Parameter.path("name", "File name.", "markdown.js")],
        errors=[_FILE_NOT_FOUND],
    )
    def asset(name: str) -> Response:
        return static_file(assets(), name)

    @blueprint.get(auth.DASHBOARD_PATH)
    @_dashboard_operation("Open the dashboard", ResponseSpec.text("The page.", "text/html"))
    def dashboard() -> Response:
        return static_file(dashboard_files(), "index.html")

    @blueprint.get(f"{auth.DASHBOARD_PATH}/assets/<name>")
    @_dashboard_operation(
        "Get a file of the dashboard",
        ResponseSpec.text("The file.", *_MEDIA_TYPES.values()),
        parameters=[Parameter.path("name", "File name.", "main.js")],
        errors=[_FILE_NOT_FOUND],
    )
    def dashboard_asset(name: str) -> Response:
        return static_file(dashboard_files(), name)

    return blueprint


def load_static_files(folder_name: str, media_types: Mapping[str, str]) -> Mapping[str, StaticFile]:
    """Return all static files of a folder of pages by name, about 100 kB."""
    folder = resources.files("persona_stream").joinpath("pages", folder_name)
    files = [file for file in folder.iterdir() if file.is_file()]
    return {file.name: StaticFile(file.read_bytes(), media_types[Path(file.name).suffix]) for file in files}


def _add_prefix(page: str, prefix: str) -> str:
    """Return a page whose links lead below the path at which clients reach the application."""
    if not prefix:
        return page
    return _ROOT_LINK.sub(lambda found: found[1] or f"{found[3]}{html.escape(prefix)}/", page)


def _read_page(name: str) -> str:
    return resources.files("persona_stream").joinpath("pages", name).read_text("utf-8")


def _content_security_policy(page: str) -> str:
    """Return a policy that allows the page's own script and style and blocks any that an answer could inject."""
    sources: dict[str, list[str]] = {"script": [], "style": []}
    for kind, body in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        sources[kind].append(f"'sha256-{digest}'")
    # connect-src is open, because the page can be pointed at any server.
    return (
        f"default-src 'none'; script-src 'self' {' '.join(sources['script'])}; style-src {' '.join(sources['style'])};"
        " img-src data:; connect-src * ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types dompurify"
    )
