"""The OpenAPI document matches the wire: its schemas accept every response and exactly the valid requests."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from persona_stream.core.content import ToolCall
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Failed,
    InputRequested,
    ProgressReported,
    Queued,
    ReasoningDelta,
    Started,
)
from persona_stream.core.projection import STYLES
from persona_stream.core.query import InputRequest, Usage
from persona_stream.core.sse import encode_all
from persona_stream.errors import InvalidRequest, NotFound, Overloaded
from persona_stream.protocols.base import dump_json
from persona_stream.protocols.native.encoder import NATIVE, NativeEncoder
from persona_stream.protocols.native.schemas import Frame, RunList, run_view
from persona_stream.web.flask_app import register_error_handlers
from persona_stream.web.parsing import parse_chat_request
from persona_stream.web.responses import HttpRequest
from persona_stream.web.routes.health import Health
from persona_stream.web.routes.personas import BackendInfo, Profile, ProfileList
from tests.fakes import RUN_ID, accepted, entries, read, subscription_options
from tests.openapi_document import full_document

DOCUMENT = full_document()
SCHEMAS = DOCUMENT["components"]["schemas"]

_USAGE = Usage(input_tokens=3, output_tokens=9)
_BEGUN = ((0.0, accepted()), (0.0, Started()))
RUNS = {
    "answered": entries(*_BEGUN, (5.0, Answered("Twenty characters ok. Then a few more.", _USAGE))),
    "reported": entries(*_BEGUN, (1.0, ProgressReported("Reading page 3 of 8", 0.37)), (9.0, Answered("Done."))),
    "asked": entries(*_BEGUN, (1.0, InputRequested(InputRequest("q1", "Which?", ("a",)))), (2.0, Answered("Done."))),
    "reasoned": entries(*_BEGUN, (1.0, ReasoningDelta("Let me think. ")), (2.0, Answered("Yes."))),
    "streamed": entries(*_BEGUN, (1.0, AnswerDelta("Hello, ")), (2.0, AnswerDelta("world.")), (8.0, Answered(" Bye."))),
    "called": entries(*_BEGUN, (2.0, Answered("I look. ", finish="tools", calls=(ToolCall("c1", "look", "{}"),)))),
    "failed": entries(*_BEGUN, (1.0, Failed("backend_error", "Closed today."))),
    "queued": entries((0.0, accepted()), (0.0, Queued(2, 3.0)), (5.0, Started()), (6.0, Answered("Done."))),
    "timed out": entries(*_BEGUN, (20.0, Failed("timeout"))),
    "cancelled": entries(*_BEGUN, (4.0, AnswerDelta("Half of ")), (5.0, Failed("cancelled"))),
    "lost early": entries((0.0, accepted()), (3.0, Failed("lost"))),
}  # fmt: skip


def validator(schema):
    """Return a validator for a schema that may refer to other schemas of the document."""
    return Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}})


def stream(journal, style):
    """Yield the events of a stream as objects with the fields of their lines."""
    native = NativeEncoder(RUN_ID, f"/api/runs/{RUN_ID}/events?ticket=x", STYLES[style], "zh")
    for _, event in read(journal, subscription_options(style, reasoning=True)):
        framed = encode_all(native.encode(event)).decode()
        assert framed.endswith("\n\n")
        fields = (line.split(": ", 1) for line in framed.rstrip("\n").split("\n"))
        yield dict(fields)


def problems(events, name):
    """Yield the violations of an event schema, including those of the schema of the JSON in ``data``."""
    event_schema = validator({"$ref": f"#/components/schemas/{name}"})
    data = SCHEMAS[name]["properties"]["data"]
    data_schema = validator(
        next(each["contentSchema"] for each in data.get("anyOf", [data]) if "contentSchema" in each)
    )
    for event in events:
        yield from event_schema.iter_errors(event)
        if event["data"] == "[DONE]":
            continue
        yield from data_schema.iter_errors(json.loads(event["data"]))


def event_schemas(path, method="post", status="200"):
    """Return the names of the event schemas of an operation."""
    content = DOCUMENT["paths"][path][method]["responses"][status]["content"]
    return names_of(content["text/event-stream"]["itemSchema"])


def names_of(schema):
    """Return the names of the schemas that a schema refers to."""
    return [each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema])]


PATHS = {"basic": "/api/stream_chat", "advanced": "/api/stream_chat_advanced", "smart": "/api/stream_chat_smart"}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("style", STYLES)
def test_streams_match_their_schema(run, style):
    """Every event of every kind of run matches the event schema of its style, also when the run is resumed."""
    (name,) = event_schemas(PATHS[style])
    assert name in event_schemas("/api/runs/{run_id}/events", "get")
    assert list(problems(stream(RUNS[run], style), name)) == []


def test_the_runs_of_these_tests_contain_every_frame():
    """The runs above cover every frame of every style."""
    seen = {json.loads(event["data"])["status"] for run in RUNS.values() for event in stream(run, "smart")}
    assert seen == set(_mapping("smart")) - {"connecting"}
    described = {name.rpartition("/")[2] for style in STYLES for name in _mapping(style).values()}
    assert described == {frame.__name__ for frame in get_args(Frame)}


def _mapping(style):
    return SCHEMAS[f"{style.title()}Event"]["properties"]["data"]["contentSchema"]["discriminator"]["mapping"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120), st.sampled_from(sorted(STYLES)))
def test_any_answer_matches_its_schema(answer, style):
    """The events match for any text."""
    run = entries(*_BEGUN, (1.0, ReasoningDelta(answer)), (2.0, Answered(answer)))
    assert list(problems(stream(run, style), event_schemas(PATHS[style])[0])) == []


def test_the_schemas_reject_wrong_frames():
    """A frame without a required field, or of another style, violates the schema."""
    basic = list(stream(RUNS["answered"], "basic"))
    assert list(problems(basic, "SmartEvent"))
    frame = json.loads(basic[-1]["data"])
    for field in ("success", "data", "status", "is_complete"):
        incomplete = {name: value for name, value in frame.items() if name != field}
        assert list(problems([{"id": basic[-1]["id"], "data": json.dumps(incomplete)}], "BasicEvent")), field
    assert list(problems([{"data": basic[-1]["data"]}], "BasicEvent")), "an event of a run has an id"


@pytest.mark.parametrize("run", RUNS)
def test_responses_match_their_schema(run):
    """The responses of ``/api/chat`` and ``/api/runs`` match the schema for their status, for every kind of run."""
    status, body = NATIVE.response(RUNS[run])
    response = DOCUMENT["paths"]["/api/chat"]["post"]["responses"][str(status)]
    validator(response["content"]["application/json"]["schema"]).validate(json.loads(dump_json(body)))
    for upto in range(1, len(RUNS[run]) + 1):
        view = run_view(RUNS[run][:upto], 200.0, "/api/runs/x/events?ticket=y")
        validator(SCHEMAS["RunView"]).validate(json.loads(dump_json(view)))
        validator(SCHEMAS["RunList"]).validate(json.loads(dump_json(RunList(runs=[view], next=RUN_ID))))


def test_profiles_and_health_match_their_schema():
    """The responses of ``/api/profiles`` and ``/healthz`` match their schemas."""
    ada = Profile(username="Ada", name="Ada Lovelace", line="A mathematician.", languages=("en",))
    demo = BackendInfo(name="demo", title="Demo", ideas=("What is new?",))
    validator(SCHEMAS["ProfileList"]).validate(json.loads(dump_json(ProfileList(profiles=[ada], backend=demo))))
    validator(SCHEMAS["Health"]).validate(json.loads(dump_json(Health("alive"))))


@pytest.mark.parametrize("error", [InvalidRequest("username: is required"), NotFound("No."), Overloaded("Later.")])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_errors_match_their_schema(error, accept):
    """An error of a streaming endpoint is one event, or JSON if preferred, with a documented status."""
    app = Flask("errors")
    register_error_handlers(app)

    @app.post("/api/stream_chat")
    def fail():
        raise error

    response = app.test_client().post("/api/stream_chat", headers={"Accept": accept})
    documented = DOCUMENT["paths"]["/api/stream_chat"]["post"]["responses"][str(response.status_code)]
    content = DOCUMENT["components"]["responses"][documented["$ref"].rpartition("/")[2]]["content"]
    assert response.mimetype == accept
    if accept == "application/json":
        validator(content[accept]["schema"]).validate(response.json)
    else:
        assert response.text.startswith("data: ")
        assert response.text.endswith("\n\n")
        assert list(problems([{"data": response.text[6:-2]}], "ErrorEvent")) == []


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ({"username": "Ada", "message": "Hi"}, True),
        ({"username": "Ada", "message": "Hi", "unknown": 1}, True),
        ({"username": "Ada", "message": " Hi ", "prompt": None, "chunking": None, "reasoning": None}, True),
        ({"username": "A" * 64, "message": "x" * 32_768, "prompt": "x" * 32_768, "prompt_mode": "replace"}, True),
        ({"username": "Ada", "message": "Hi", "conversation_id": "a.b_c:D-9"}, True),
        ({"username": "Ada", "message": "Hi", "chunking": "sentences", "locale": "zh"}, True),
        ({"username": "Ada"}, False),
        ({"message": "Hi"}, True),
        ({"username": "", "message": "Hi"}, False),
        ({"username": "A" * 65, "message": "Hi"}, False),
        ({"username": "Ada", "message": ""}, False),
        ({"username": "Ada", "message": " \t\n"}, False),
        ({"username": "Ada", "message": 5}, False),
        ({"username": "Ada", "message": "Hi", "prompt": "x" * 32_769}, False),
        ({"username": "Ada", "message": "Hi", "prompt_mode": "add"}, False),
        ({"username": "Ada", "message": "Hi", "conversation_id": "a b"}, False),
        ({"username": "Ada", "message": "Hi", "conversation_id": "c\n"}, False),
        ({"username": "Ada", "message": "Hi", "conversation_id": "c" * 129}, False),
        ({"username": "Ada", "message": "Hi", "chunking": "lines"}, False),
        ({"username": "Ada", "message": "Hi", "locale": "fr"}, False),
        ({"username": "Ada", "message": "Hi", "reasoning": "yes"}, False),
        (["username", "message"], False),
    ],
)  # fmt: skip
def test_schema_and_parser_accept_the_same_requests(body, accepted):
    """The parser accepts a request exactly if it matches the schema."""
    assert validator(SCHEMAS["ChatRequest"]).is_valid(body) is accepted
    app = Flask("parsing")
    app.request_class = HttpRequest
    with app.test_request_context(json=body):
        if accepted:
            parse_chat_request(request)
        else:
            with pytest.raises(InvalidRequest):
                parse_chat_request(request)


def test_the_examples_match_their_schemas():
    """Every example of the document matches the schema beside it."""
    checked = 0
    for content in _contents(DOCUMENT):
        for kind, media in content.items():
            for example in _examples(media):
                checked += 1
                if kind == "text/event-stream":
                    frames_of = (frame.split("\n") for frame in example.removesuffix("\n\n").split("\n\n"))
                    events = [
                        dict(line.split(": ", 1) for line in lines if not line.startswith(":")) for lines in frames_of
                    ]
                    assert any(not list(problems(events, name)) for name in names_of(media["itemSchema"]))
                else:
                    validator(media["schema"]).validate(example)
    assert checked > 30


def _contents(node):
    """Yield every map of media types in the document."""
    if isinstance(node, dict):
        # A schema of a message may have a property named content.
        if isinstance(node.get("content"), dict) and all("/" in kind for kind in node["content"]):
            yield node["content"]
        for child in node.values():
            yield from _contents(child)
    elif isinstance(node, list):
        for child in node:
            yield from _contents(child)


def _examples(media):
    if "example" in media:
        yield media["example"]
    for example in media.get("examples", {}).values():
        yield example.get("serializedValue", example.get("dataValue"))
