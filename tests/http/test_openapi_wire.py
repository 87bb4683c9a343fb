"""The document and the wire agree: what is written fits its schemas, and they let pass what is read."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from persona_stream.core.facts import Answered, Failed, ProgressReported, Queued, ReasoningDelta, Started, TextDelta
from persona_stream.core.projection import STYLES
from persona_stream.core.query import Usage
from persona_stream.errors import InvalidRequest, NotFound, Overloaded
from persona_stream.protocols.base import dump_json
from persona_stream.protocols.native.encoder import NativeEncoder
from persona_stream.protocols.native.responses import RunList, chat_response, run_view
from persona_stream.protocols.native.schemas import Frame
from persona_stream.web.errors import register_error_handlers
from persona_stream.web.openapi.document import build
from persona_stream.web.parsing import parse_chat_request
from persona_stream.web.routes.health import Health
from persona_stream.web.routes.personas import Profile, ProfileList
from tests.fakes import RUN_ID, accepted, entries, read, reader

DOCUMENT = build()
SCHEMAS = DOCUMENT["components"]["schemas"]

_USAGE = Usage(input_tokens=3, output_tokens=9)
_BEGUN = ((0.0, accepted()), (0.0, Started()))
RUNS = {
    "answered": entries(*_BEGUN, (5.0, Answered("Twenty characters ok. Then a few more.", _USAGE))),
    "reported": entries(*_BEGUN, (1.0, ProgressReported("Reading page 3 of 8", 0.37)), (9.0, Answered("Done."))),
    "reasoned": entries(*_BEGUN, (1.0, ReasoningDelta("Let me think. ")), (2.0, Answered("Yes."))),
    "streamed": entries(*_BEGUN, (1.0, TextDelta("Hello, ")), (2.0, TextDelta("world.")), (8.0, Answered(" Bye."))),
    "failed": entries(*_BEGUN, (1.0, Failed("backend_error", "Closed today."))),
    "queued": entries((0.0, accepted()), (0.0, Queued(2, 3.0)), (5.0, Started()), (6.0, Answered("Done."))),
    "timed out": entries(*_BEGUN, (20.0, Failed("timeout"))),
    "cancelled": entries(*_BEGUN, (4.0, TextDelta("Half of ")), (5.0, Failed("cancelled"))),
    "lost early": entries((0.0, accepted()), (3.0, Failed("lost"))),
}  # fmt: skip


def validator(schema):
    """Check values against a schema of the document; it may point to others."""
    return Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}})


def stream(journal, style):
    """Give the events of a stream, parsed as the standard says that they are: an object with id and data."""
    native = NativeEncoder(RUN_ID, f"/api/runs/{RUN_ID}/events?ticket=x", STYLES[style], "zh")
    for _, event in read(journal, reader(style, reasoning=True)):
        assert native.encode(event).endswith(b"\n\n")
        fields = (line.split(": ", 1) for line in native.encode(event).decode().rstrip("\n").split("\n"))
        yield dict(fields)


def problems(events, name):
    """Say what of these events does not fit the event schema of this name, down to the JSON in their data."""
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


def item_schema(path, method="post", status="200"):
    """Give the name of the schema that the events of an address have."""
    content = DOCUMENT["paths"][path][method]["responses"][status]["content"]
    return named(content["text/event-stream"]["itemSchema"])


def named(schema):
    """Give the name of a schema; of several, the first, which is native."""
    return schema.get("anyOf", [schema])[0]["$ref"].rpartition("/")[2]


ADDRESSES = {"basic": "/api/stream_chat", "advanced": "/api/stream_chat_advanced", "smart": "/api/stream_chat_smart"}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("style", STYLES)
def test_streams_fit(run, style):
    """Every event of every kind of run fits what its address is documented to send, in each style."""
    assert list(problems(stream(RUNS[run], style), item_schema(ADDRESSES[style]))) == []
    assert list(problems(stream(RUNS[run], style), item_schema("/api/runs/{run_id}/events", "get"))) == []


def test_every_frame_is_in_a_run_of_these_tests():
    """The runs above leave out no kind of frame, in no style."""
    seen = {json.loads(event["data"])["status"] for run in RUNS.values() for event in stream(run, "smart")}
    mapped = SCHEMAS["SmartFrame"]["discriminator"]["mapping"]
    assert seen == set(mapped) - {"connecting"}
    described = {name.rpartition("/")[2] for style in STYLES for name in _mapping(style).values()}
    assert described == {frame.__name__ for frame in get_args(Frame)}


def _mapping(style):
    return SCHEMAS[f"{style.title()}Frame"]["discriminator"]["mapping"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120), st.sampled_from(sorted(STYLES)))
def test_any_answer_fits(answer, style):
    """Whatever the text, its events fit."""
    run = entries(*_BEGUN, (1.0, ReasoningDelta(answer)), (2.0, Answered(answer)))
    assert list(problems(stream(run, style), item_schema(ADDRESSES[style]))) == []


def test_the_schemas_tell_wrong_frames():
    """A frame that lacks a field, or is of another style, does not fit: the schemas are no mere decoration."""
    basic = list(stream(RUNS["answered"], "basic"))
    assert list(problems(basic, "SmartEvent"))
    frame = json.loads(basic[-1]["data"])
    for field in ("success", "data", "status", "is_complete"):
        lacking = {name: value for name, value in frame.items() if name != field}
        assert list(problems([{"id": basic[-1]["id"], "data": json.dumps(lacking)}], "BasicEvent")), field
    assert list(problems([{"data": basic[-1]["data"]}], "BasicEvent")), "an event of a run has an id"


@pytest.mark.parametrize("run", RUNS)
def test_answers_fit(run):
    """What ``/api/chat`` and ``/api/runs`` say of every kind of run fits, under the status that it comes with."""
    status, body = chat_response(RUNS[run])
    response = DOCUMENT["paths"]["/api/chat"]["post"]["responses"][str(status)]
    validator(response["content"]["application/json"]["schema"]).validate(json.loads(dump_json(body)))
    for upto in range(1, len(RUNS[run]) + 1):
        view = run_view(RUNS[run][:upto], 200.0, "/api/runs/x/events?ticket=y")
        validator(SCHEMAS["RunView"]).validate(json.loads(dump_json(view)))
        validator(SCHEMAS["RunList"]).validate(json.loads(dump_json(RunList(runs=[view], next=RUN_ID))))


def test_profiles_and_health_fit():
    """So do the small ones."""
    ada = Profile(username="Ada", name="Ada Lovelace", line="A mathematician.", languages=("en",))
    validator(SCHEMAS["ProfileList"]).validate(json.loads(dump_json(ProfileList(profiles=[ada]))))
    validator(SCHEMAS["Health"]).validate(json.loads(dump_json(Health("alive"))))


@pytest.mark.parametrize("refusal", [InvalidRequest("username: is required"), NotFound("No."), Overloaded("Later.")])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_refusals_fit(refusal, accept):
    """A refusal of a stream is one event, or JSON where that is preferred, under a documented status."""
    app = Flask("refusing")
    register_error_handlers(app)

    @app.post("/api/stream_chat")
    def refuse():
        raise refusal

    response = app.test_client().post("/api/stream_chat", headers={"Accept": accept})
    documented = DOCUMENT["paths"]["/api/stream_chat"]["post"]["responses"][str(response.status_code)]
    content = DOCUMENT["components"]["responses"][documented["$ref"].rpartition("/")[2]]["content"]
    assert response.mimetype == accept
    if accept == "application/json":
        validator(content[accept]["schema"]).validate(response.json)
    else:
        assert response.text.startswith("data: ")
        assert response.text.endswith("\n\n")
        assert list(problems([{"data": response.text[6:-2]}], "RefusalEvent")) == []


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
        ({"message": "Hi"}, False),
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
def test_requests_are_judged_alike(body, accepted):
    """What the schema of a request lets pass, the parser takes; what it does not, the parser refuses."""
    assert validator(SCHEMAS["ChatRequest"]).is_valid(body) is accepted
    with Flask("parsing").test_request_context(json=body):
        if accepted:
            parse_chat_request(request)
        else:
            with pytest.raises(InvalidRequest):
                parse_chat_request(request)


def test_the_examples_are_true():
    """Every example of the document fits the schema beside it."""
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
                    assert list(problems(events, named(media["itemSchema"]))) == []
                else:
                    validator(media["schema"]).validate(example)
    assert checked > 30


def _contents(node):
    """Find every map of media types in the document."""
    if isinstance(node, dict):
        # Messages have a field of that name too.
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
