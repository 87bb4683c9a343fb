"""``/openapi.json`` and ``/docs``: caching, the content security policy, and the optional renderer."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from importlib import resources

import pytest
from flask import Flask

from persona_stream.web.flask_app import register_error_handlers
from persona_stream.web.openapi.document import build_document
from persona_stream.web.routes.pages import blueprint, find_renderer


def create_app(**arguments):
    """Return an application that serves nothing but the document and its page."""
    app = Flask("document", static_folder=None)
    register_error_handlers(app)
    app.register_blueprint(blueprint(**arguments))
    return app


def test_the_document_is_served_with_an_etag():
    """A client that has the current version gets 304 without a body."""
    app = create_app()
    client = app.test_client()
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert json.loads(response.data) == build_document(app)
    again = client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_loads_the_installed_renderer(tmp_path):
    """With the extra installed, the page loads the script from this server and may access no other host."""
    script = tmp_path / "scalar.js"
    script.write_text("draw()")
    client = create_app(renderer=lambda: script).test_client()
    response = client.get("/docs")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert '<script src="/docs/scalar.js"></script>' in response.text
    assert 'data-url="/openapi.json"' in response.text
    configuration = json.loads(re.search(r"data-configuration='(.*?)'", response.text, re.DOTALL)[1])
    assert configuration["telemetry"] is False
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert not [source for sources in policy.values() for source in sources.split() if "//" in source or source == "*"]
    with client.get("/docs/scalar.js") as served:
        assert served.content_type == "text/javascript; charset=utf-8"
        assert served.data == b"draw()"
        etag = served.headers["ETag"]
    with client.get("/docs/scalar.js", headers={"If-None-Match": etag}) as again:
        assert again.status_code == 304


def test_without_the_extra_the_page_names_it():
    """The page says what to install and links to the document; there is no script."""
    client = create_app(renderer=lambda: None).test_client()
    response = client.get("/docs")
    assert response.status_code == 200
    assert "pip install offapi" in response.text
    assert '<a href="/openapi.json">' in response.text
    assert "<script" not in response.text
    assert client.get("/docs/scalar.js").status_code == 404


def test_the_renderer_is_found_without_importing_its_package():
    """Importing the package would load megabytes into memory that the page does not need."""
    before = set(sys.modules)
    script = find_renderer()
    if script is None:
        pytest.skip("the extra docs is not installed")
    assert b"api-reference" in script.read_bytes()
    assert "offapi" not in set(sys.modules) - before


ASSETS = resources.files("persona_stream").joinpath("pages/assets")


def test_vendored_scripts_are_the_published_ones():
    """Each has its checksum, version and licence; nothing else is vendored."""
    vendored = tomllib.loads(ASSETS.joinpath("vendored.toml").read_text("utf-8"))
    for name, record in vendored.items():
        assert hashlib.sha256(ASSETS.joinpath(name).read_bytes()).hexdigest() == record["sha256"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", record["version"])
        assert "opyright" in ASSETS.joinpath(record["license_file"]).read_text("utf-8")
    scripts = {file.name for file in ASSETS.iterdir() if file.name.endswith(".js")}
    assert scripts == {*vendored, "markdown.js"}


def test_assets_are_served_with_their_licences():
    """Scripts as scripts, licences as text, and nothing from elsewhere."""
    client = create_app().test_client()
    assert client.get("/assets/marked.js").content_type == "text/javascript; charset=utf-8"
    assert client.get("/assets/LICENSE.dompurify.txt").content_type == "text/plain; charset=utf-8"
    assert client.get("/assets/nothing.js").status_code == 404
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "trusted-types dompurify" in policy
