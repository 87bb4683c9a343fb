"""The document: valid, whole, and what it says of itself over HTTP."""

from __future__ import annotations

import json
import re
import sys

import pytest
from flask import Flask

from persona_stream.core.run_id import timestamp_of
from persona_stream.web import openapi
from persona_stream.web.dashboard_auth import HEADER
from persona_stream.web.errors import register_error_handlers
from persona_stream.web.openapi import document, examples, page
from persona_stream.web.routes.dashboard import load_static_files
from persona_stream.web.routes.dashboard_api import YEAR_9999
from tests.routes import every_blueprint

DOCUMENT = document.build()
OPERATIONS = {
    (method.upper(), path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in ("get", "post", "put", "delete", "patch")
}
ASKED = {"200", "400", "401", "403", "404", "409", "413", "415", "429", "500", "503"}
FOUND = {"200", "401", "403", "404", "410", "500", "503"}


def client(**arguments):
    """Give a client of an application that has the document alone."""
    app = Flask("document", static_folder=None)
    register_error_handlers(app)
    app.register_blueprint(openapi.blueprint(**arguments))
    return app.test_client()


def test_it_is_valid_openapi():
    """It is OpenAPI 3.2, by the schema of the standard, and every reference in it leads somewhere."""
    from openapi_spec_validator import OpenAPIV32SpecValidator  # takes long to import, for this one test

    OpenAPIV32SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.2.0"


def test_every_address_is_documented_and_no_other():
    """Whoever adds an address, or a method, must describe it."""
    app = Flask("map", static_folder=None)
    for blueprint in every_blueprint():
        app.register_blueprint(blueprint)
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert set(OPERATIONS) == served


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("POST", "/api/stream_chat", ASKED | {"406"}),
        ("POST", "/api/stream_chat_advanced", ASKED | {"406"}),
        ("POST", "/api/stream_chat_smart", ASKED | {"406"}),
        ("POST", "/api/chat", ASKED | {"502", "504"}),
        ("POST", "/v1/chat/completions", ASKED | {"406", "502", "504"}),
        ("POST", "/v1/messages", ASKED | {"406", "502", "504"}),
        ("POST", "/v1/messages/count_tokens", ASKED - {"409", "429"}),
        ("GET", "/v1/models", {"200", "401", "403", "500", "503"}),
        ("GET", "/v1/models/{model}", {"200", "401", "403", "404", "500", "503"}),
        ("GET", "/api/runs/{run_id}/events", FOUND | {"204", "400", "406"}),
        ("GET", "/api/runs/{run_id}", FOUND),
        ("POST", "/api/runs/{run_id}/cancel", FOUND),
        ("GET", "/api/runs", {"200", "400", "401", "403", "500", "503"}),
        ("GET", "/api/profiles", {"200", "401", "403", "500", "503"}),
        ("GET", "/healthz", {"200"}),
        ("GET", "/readyz", {"200", "503"}),
        ("GET", "/metrics", {"200", "404"}),
    ],
)
def test_every_status_that_can_occur_is_documented(method, path, statuses):
    """A client can prepare for each status of an address, and for no other."""
    assert set(OPERATIONS[method, path]["responses"]) == statuses


def test_refusals_of_streams_come_in_two_forms():
    """On the addresses that stream, a refusal is an event or JSON; elsewhere it is JSON."""
    for (_, path), operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                content = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]["content"]
                streams = path.startswith("/api/stream_chat") or path.endswith("/events")
                expected = ["text/event-stream", "application/json"] if streams else ["application/json"]
                assert list(content) == expected, (path, status)


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Unauthorized", {"WWW-Authenticate"}),
        ("Forbidden", {"WWW-Authenticate"}),
        ("Busy", {"Retry-After"}),
        ("Unavailable", {"Retry-After"}),
        ("NoRun", set()),
    ],
)
def test_refusals_name_their_headers(name, headers):
    """What a client must obey stands in headers, in both forms of a refusal."""
    for response in (name, f"{name}OnStream"):
        assert set(DOCUMENT["components"]["responses"][response].get("headers", ())) == headers


def test_only_what_needs_no_token_is_open():
    """Health, the document, the pages and a login ask nobody who they are; a stream can be read with a ticket too."""
    assert DOCUMENT["security"] == [{"bearer": []}]
    opened = {path for (_, path), operation in OPERATIONS.items() if operation.get("security") == []}
    assert opened == {
        "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/scalar.js", "/", "/streaming_test.html",
        "/dashboard", "/dashboard/assets/{name}", "/dashboard/login", "/dashboard/logout",
    }  # fmt: skip
    assert OPERATIONS["GET", "/api/runs/{run_id}/events"]["security"] == [{"bearer": []}, {"ticket": []}]


def test_the_dashboard_is_described_as_it_is():
    """Its files are of kinds that the document names, nobody is an answer to who is there, and moments have an end."""
    kinds = {file.kind.partition(";")[0] for file in load_static_files().values()}
    asset = OPERATIONS["GET", "/dashboard/assets/{name}"]["responses"]["200"]
    assert kinds == set(asset["content"])
    assert {} in OPERATIONS["GET", "/dashboard/api/session"]["security"]
    parameters = DOCUMENT["components"]["parameters"]
    for name in ("LogSlow", "LogSince", "LogUntil"):
        assert parameters[name]["schema"]["maximum"] == YEAR_9999
    for path in ("/dashboard/login", "/dashboard/logout"):
        (own,) = OPERATIONS["POST", path]["parameters"]
        assert parameters[own["$ref"].rpartition("/")[2]]["name"] == HEADER


def test_every_event_that_can_come_is_described():
    """A run is read in any of the three protocols; OpenAI's ends with a word that is no JSON."""
    read = OPERATIONS["GET", "/api/runs/{run_id}/events"]["responses"]["200"]["content"]["text/event-stream"]
    names = [each["$ref"].rpartition("/")[2] for each in read["itemSchema"]["anyOf"]]
    assert names == ["RunEvent", "ChatCompletionEvent", "MessageStreamEvent"]
    end, chunk = DOCUMENT["components"]["schemas"]["ChatCompletionEvent"]["properties"]["data"]["anyOf"]
    assert end == {"const": "[DONE]"}
    assert chunk["contentMediaType"] == "application/json"


def test_links_lead_to_operations():
    """A run that was started can be read, looked at and cancelled."""
    ids = {operation["operationId"] for operation in OPERATIONS.values()}
    assert {link["operationId"] for link in DOCUMENT["components"]["links"].values()} <= ids
    starting = [
        answer["200"]
        for (method, _), answer in ((at, operation["responses"]) for at, operation in OPERATIONS.items())
        if method == "POST" and "X-Run-Id" in answer["200"].get("headers", ())
    ]
    assert len(starting) == 6
    assert all(answer["links"].keys() == DOCUMENT["components"]["links"].keys() for answer in starting)


def test_every_field_of_every_schema_has_a_description():
    """Descriptions come from ``Meta(description=)`` at the field; a missing one is listed by name."""
    missing = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, node in schema.get("properties", {}).items()
        if not node.get("description")
    ]
    assert missing == []


def test_the_run_of_the_examples_could_be_one():
    """Its name carries its beginning, as every run's does."""
    assert timestamp_of(examples.RUN_ID) == examples.BEGAN


def test_it_is_served_and_kept():
    """The document comes as JSON with an ETag, and whoever has it already gets 304 and no body."""
    asked = client()
    response = asked.get("/openapi.json")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert json.loads(response.data) == DOCUMENT
    again = asked.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_is_drawn_by_what_is_installed(tmp_path):
    """With the extra, the page loads the renderer from this server, and may reach nothing else."""
    script = tmp_path / "scalar.js"
    script.write_text("draw()")
    asked = client(renderer=lambda: script)
    response = asked.get("/docs")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert '<script src="/docs/scalar.js"></script>' in response.text
    assert 'data-url="/openapi.json"' in response.text
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert not [source for sources in policy.values() for source in sources.split() if "//" in source or source == "*"]
    with asked.get("/docs/scalar.js") as served:
        assert served.content_type == "text/javascript; charset=utf-8"
        assert served.data == b"draw()"
        etag = served.headers["ETag"]
    with asked.get("/docs/scalar.js", headers={"If-None-Match": etag}) as known:
        assert known.status_code == 304


def test_without_the_extra_the_page_says_how_to_get_it():
    """Nobody is left with an empty page: it says what to install, and where the document is."""
    asked = client(renderer=lambda: None)
    response = asked.get("/docs")
    assert response.status_code == 200
    assert "pip install 'persona_stream[docs]'" in response.text
    assert '<a href="/openapi.json">' in response.text
    assert "<script" not in response.text
    assert asked.get("/docs/scalar.js").status_code == 404


def test_the_renderer_is_found_without_importing_its_package():
    """The package would read megabytes into memory that the page does not need."""
    before = set(sys.modules)
    script = page.renderer()
    if script is None:
        pytest.skip("the extra docs is not installed")
    assert b"api-reference" in script.read_bytes()
    assert "offapi" not in set(sys.modules) - before
