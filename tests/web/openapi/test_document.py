"""The OpenAPI document is valid, covers every route, and describes each status, header and field."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from persona_stream.core.run_id import timestamp_of
from persona_stream.protocols.registry import PROTOCOLS
from persona_stream.web.auth import DASHBOARD_HEADER
from persona_stream.web.openapi import components
from persona_stream.web.openapi.document import build_document
from persona_stream.web.openapi.spec import RUN_EVENTS, Operation, ResponseSpec, Tag
from persona_stream.web.routes.dashboard import MAX_TIMESTAMP
from persona_stream.web.routes.pages import _MEDIA_TYPES, load_static_files
from tests.openapi_document import full_document
from tests.routes import every_route

DOCUMENT = full_document()
RESPONSES = DOCUMENT["components"]["responses"]
OPERATIONS = {
    (method.upper(), path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
START_STATUSES = {"200", "400", "401", "403", "404", "409", "413", "415", "429", "500", "503"}
RUN_STATUSES = {"200", "401", "403", "404", "410", "500", "503"}


def test_it_is_valid_openapi():
    """The document conforms to OpenAPI 3.2, and every reference in it resolves."""
    from openapi_spec_validator import OpenAPIV32SpecValidator  # slow to import, and needed by this test only

    OpenAPIV32SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.2.0"


def test_every_route_is_documented_and_no_other():
    """A new route or method fails this test until its view has a description."""
    routes = {(method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)) for method, rule in every_route()}
    assert set(OPERATIONS) == routes


def test_path_parameters_are_documented():
    """Each variable of a path is described as a required parameter of its operation."""
    for (_, path), operation in OPERATIONS.items():
        described = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path)), path
        assert all(each["required"] for each in operation.get("parameters", ()) if each["in"] == "path"), path


def test_operation_ids_are_unique():
    """Client generators derive method names from them."""
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


def test_a_new_route_needs_no_change_of_the_document():
    """A view with a description appears in the document with its tag; a view without one does not."""
    app = Flask("extended")

    @app.get("/ping/<int:number>")
    @Operation("Ping", ResponseSpec.text("Pong.", "text/plain"), tags=[Tag("Extra", "More.")])
    def ping(number):
        return str(number)

    @app.get("/private")
    def private_view():
        return ""

    document = build_document(app)
    assert list(document["paths"]) == ["/ping/{number}"]
    assert document["tags"] == [{"name": "Extra", "description": "More."}]
    assert document["paths"]["/ping/{number}"]["get"] == {
        "operationId": "ping",
        "tags": ["Extra"],
        "summary": "Ping",
        "responses": {"200": {"description": "Pong.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    }


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("POST", "/api/stream_chat", START_STATUSES | {"406"}),
        ("POST", "/api/stream_chat_advanced", START_STATUSES | {"406"}),
        ("POST", "/api/stream_chat_smart", START_STATUSES | {"406"}),
        ("POST", "/api/chat", START_STATUSES | {"502", "504"}),
        ("POST", "/v1/chat/completions", START_STATUSES | {"406", "502", "504"}),
        ("POST", "/v1/completions", START_STATUSES | {"406", "502", "504"}),
        ("POST", "/v1/messages", START_STATUSES | {"406", "502", "504"}),
        ("POST", "/v1/messages/count_tokens", START_STATUSES - {"409", "429"}),
        ("GET", "/api/ws", {"101", "400", "401", "403", "426", "500", "501", "503"}),
        ("POST", "/api/ui/chat", START_STATUSES | {"406"}),
        ("GET", "/api/ui/chat/{chat_id}/stream", {"200", "204", "401", "403", "406", "500", "503"}),
        ("POST", "/api/ui/chat/{chat_id}/stop", {"200", "401", "403", "500", "503"}),
        ("GET", "/v1/models", {"200", "401", "403", "500", "503"}),
        ("GET", "/v1/models/{model}", {"200", "401", "403", "404", "500", "503"}),
        ("GET", "/api/runs/{run_id}/events", RUN_STATUSES | {"204", "400", "406"}),
        ("GET", "/api/runs/{run_id}", RUN_STATUSES | {"400"}),
        ("POST", "/api/runs/{run_id}/cancel", RUN_STATUSES),
        ("GET", "/api/runs", {"200", "400", "401", "403", "500", "503"}),
        ("GET", "/api/profiles", {"200", "401", "403", "500", "503"}),
        ("GET", "/healthz", {"200"}),
        ("GET", "/readyz", {"200", "503"}),
        ("GET", "/metrics", {"200", "404"}),
    ],
)
def test_every_possible_status_is_documented(method, path, statuses):
    """An operation lists all statuses that it can answer with, and no other."""
    assert set(OPERATIONS[method, path]["responses"]) == statuses


def test_errors_of_streams_are_an_event_or_json():
    """Endpoints that stream answer errors with one event or with JSON; all others with JSON."""
    for (_, path), operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                streams = path.startswith("/api/stream_chat") or path.endswith("/events")
                expected = ["text/event-stream", "application/json"] if streams else ["application/json"]
                assert list(RESPONSES[response["$ref"].rpartition("/")[2]]["content"]) == expected, (path, status)


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Unauthorized", {"WWW-Authenticate"}),
        ("Forbidden", {"WWW-Authenticate"}),
        ("Busy", {"Retry-After"}),
        ("Unavailable", {"Retry-After"}),
        ("RunNotFound", set()),
    ],
)
def test_errors_document_their_headers(name, headers):
    """The headers are the same in every form of an error."""
    forms = [response for key, response in RESPONSES.items() if key.partition("As")[0] == name]
    assert len(forms) > 1
    assert all(set(response.get("headers", ())) == headers for response in forms)


def test_only_public_operations_need_no_token():
    """Health, the document, pages and login need no token; a stream can be read with a ticket."""
    assert DOCUMENT["security"] == [{"bearer": []}]
    public = {path for (_, path), operation in OPERATIONS.items() if operation.get("security") == []}
    assert public == {
        "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/scalar.js", "/", "/streaming_test.html",
        "/assets/{name}", "/dashboard", "/dashboard/assets/{name}", "/dashboard/login", "/dashboard/logout",
    }  # fmt: skip
    assert OPERATIONS["GET", "/api/runs/{run_id}/events"]["security"] == [{"bearer": []}, {"ticket": []}]


def test_the_dashboard_is_described_completely():
    """Media types of its files, anonymous access to the login state, limits of timestamps and the CSRF header."""
    types = {file.media_type for file in load_static_files("dashboard", _MEDIA_TYPES).values()}
    assert types == set(OPERATIONS["GET", "/dashboard/assets/{name}"]["responses"]["200"]["content"])
    assert {} in OPERATIONS["GET", "/dashboard/api/session"]["security"]
    filters = {each["name"]: each["schema"] for each in OPERATIONS["GET", "/dashboard/api/runs"]["parameters"]}
    assert [filters[name]["maximum"] for name in ("slow", "since", "until")] == [MAX_TIMESTAMP] * 3
    for path in ("/dashboard/login", "/dashboard/logout"):
        assert [each["name"] for each in OPERATIONS["POST", path]["parameters"]] == [DASHBOARD_HEADER]


def test_every_kind_of_event_is_described():
    """A run can be resumed in every style and protocol; OpenAI's stream ends with an event that is not JSON."""
    response = OPERATIONS["GET", "/api/runs/{run_id}/events"]["responses"]["200"]
    items = response["content"]["text/event-stream"]["itemSchema"]["anyOf"]
    assert [each["$ref"].rpartition("/")[2] for each in items] == [
        "BasicEvent", "AdvancedEvent", "SmartEvent", "ChatCompletionEvent", "ResponseStreamEvent",
        "MessageStreamEvent", "UIMessageStreamPart",
    ]  # fmt: skip
    assert RUN_EVENTS.keys() == PROTOCOLS.keys()
    end, chunk = DOCUMENT["components"]["schemas"]["ChatCompletionEvent"]["properties"]["data"]["anyOf"]
    assert end == {"const": "[DONE]"}
    assert chunk["contentMediaType"] == "application/json"


def test_links_refer_to_operations():
    """Every response that starts a run links to the operations on it."""
    links = DOCUMENT["components"]["links"]
    ids = {operation["operationId"] for operation in OPERATIONS.values()}
    assert {link["operationId"] for link in links.values()} <= ids
    starting = [
        operation["responses"]["200"]
        for (method, _), operation in OPERATIONS.items()
        if method == "POST" and "X-Run-Id" in operation["responses"]["200"].get("headers", ())
    ]
    assert len(starting) == 9
    assert all(response["links"].keys() == links.keys() for response in starting)


def test_every_field_of_every_schema_has_a_description():
    """Descriptions come from ``Meta(description=)`` at the field; a missing one is listed by name."""
    missing = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, node in schema.get("properties", {}).items()
        if not node.get("description")
    ]
    assert missing == []


def test_the_run_id_of_the_examples_is_valid():
    """It contains the time at which the run was accepted, as every run id does."""
    assert timestamp_of(components.RUN_ID) == components.ACCEPTED_AT
