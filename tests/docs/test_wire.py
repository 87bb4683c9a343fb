"""The documents' events, bodies, statuses, codes and numbers are those of the wire."""

from __future__ import annotations

import json
import re
from typing import get_args, get_type_hints

import msgspec
import pytest

from persona_stream.core.facts import Failed, FailureCode, Started
from persona_stream.core.i18n import FAILURES
from persona_stream.core.projection import STYLES
from persona_stream.core.snapshot import RunStatus
from persona_stream.errors import HTTPError
from persona_stream.protocols.ai_sdk_ui.schemas import StreamPart
from persona_stream.protocols.anthropic.decoder import MessagesRequest
from persona_stream.protocols.anthropic.schemas import MessageEvent
from persona_stream.protocols.native.encoder import NATIVE
from persona_stream.protocols.native.schemas import ChatAnswer, Frame, RunList, RunView
from persona_stream.protocols.openai.decoder import ChatCompletionRequest
from persona_stream.protocols.openai.schemas import ChatCompletionChunk, ErrorBody
from persona_stream.protocols.openai.text_completions import TextCompletion
from persona_stream.protocols.openai_responses.decoder import CreateResponseRequest
from persona_stream.protocols.openai_responses.schemas import ResponseEvent
from persona_stream.web.parsing import ChatRequest
from persona_stream.web.routes.conversations import ConversationList, ConversationPage, ConversationView, ExchangeView
from persona_stream.web.routes.personas import Profile, ProfileList
from persona_stream.web.routes.runs import InputAnswer
from persona_stream.web.routes.stream_chat import ENDPOINTS
from tests.documents import API, README, README_ZH, STREAMING, Document
from tests.fakes import accepted, entries
from tests.openapi_document import full_document

TYPED_EVENTS: tuple[type[msgspec.Struct], ...] = (
    *get_args(MessageEvent),
    *get_args(ResponseEvent),
    *get_args(StreamPart),
)
FRAMES: tuple[type[msgspec.Struct], ...] = get_args(Frame)


def statuses(frame: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the values of `status` in a frame."""
    return get_args(get_type_hints(frame)["status"])


def same_fields(event: dict[str, object], kind: type[msgspec.Struct]) -> bool:
    """Return whether an event has no field that its type does not have."""
    return not event.keys() - {"type", *kind.__struct_encode_fields__}


def frame_of(event: dict[str, object]) -> type[msgspec.Struct]:
    """Return the frame type of an event by its status and fields, since one status has three types."""
    if "type" in event:
        return next(
            kind for kind in TYPED_EVENTS if kind.__struct_config__.tag == event["type"] and same_fields(event, kind)
        )
    if event.get("object") == "text_completion":
        return TextCompletion
    if "status" not in event:
        return ErrorBody if "error" in event else ChatCompletionChunk
    of_status = [frame for frame in FRAMES if event["status"] in statuses(frame)]
    return next(
        frame for frame in of_status if not event.keys() - {field.name for field in msgspec.structs.fields(frame)}
    )


def same(text: str, kind: type[msgspec.Struct]) -> bool:
    """Return whether JSON has exactly the fields of a type, in the same order."""
    try:
        written = msgspec.json.encode(msgspec.json.decode(text, type=kind))
    except msgspec.ValidationError:
        return False
    return flat(json.loads(text)) == flat(json.loads(written))


def flat(value: object, path: str = "") -> list[tuple[str, object]]:
    """Return the leaves of a JSON value in order."""
    match value:
        case dict() if value:
            return [leaf for key, inner in value.items() for leaf in flat(inner, f"{path}.{key}")]
        case list() if value:
            return [leaf for index, inner in enumerate(value) for leaf in flat(inner, f"{path}[{index}]")]
        case _:
            return [(path, value)]


@pytest.mark.parametrize("document", [README, README_ZH, API], ids=repr)
def test_the_events_are_valid(document: Document) -> None:
    """Every event in the documents could be sent by the server, field by field."""
    assert document.events()
    for text in document.events():
        assert same(text, frame_of(json.loads(text))), text


def test_the_bodies_are_valid() -> None:
    """Every JSON block is a body of the wire, field by field."""
    lists = (RunList, ProfileList, ConversationPage)
    requests: tuple[type[msgspec.Struct], ...] = (ChatRequest, InputAnswer)
    bodies: tuple[type[msgspec.Struct], ...] = (ChatAnswer, RunView, *lists, *FRAMES)
    for block in API.blocks("json"):
        if "success" not in json.loads(block):
            [request] = [each for each in requests if not json.loads(block).keys() - set(each.__struct_fields__)]
            msgspec.json.decode(block, type=request)
            continue
        assert any(same(block, body) for body in bodies), block


def test_every_status_is_explained() -> None:
    """The reference names each status of events and runs; the guide has an action for each event status."""
    _, _, behind = STREAMING.text.partition("\n## Handling events\n")
    advice = behind.partition("\n## ")[0]
    for frame in FRAMES:
        for status in statuses(frame):
            assert f"`{status}`" in API.prose
            assert re.search(rf"^\|[^|]*`{status}`", advice, re.MULTILINE), status
    for status in get_args(RunStatus):
        assert f"`{status}`" in API.prose


def test_every_field_is_explained() -> None:
    """The reference names each field of each body."""
    bodies: tuple[type[msgspec.Struct], ...] = (
        *FRAMES,
        ChatAnswer,
        RunView,
        RunList,
        ChatRequest,
        Profile,
        ProfileList,
        ConversationList,
        ConversationPage,
        ConversationView,
        ExchangeView,
    )
    for body in bodies:
        for field in body.__struct_fields__:
            assert f"`{field}`" in API.prose, f"{body.__name__}.{field}"


def test_every_field_of_a_completion_is_explained() -> None:
    """The reference names each request field and each forwarded parameter."""
    for field in (
        *ChatCompletionRequest.__struct_fields__,
        *MessagesRequest.__struct_fields__,
        *CreateResponseRequest.__struct_encode_fields__,
    ):
        assert re.search(rf"`{field}[.`]", API.prose), field


def test_the_error_table_lists_exactly_the_http_errors() -> None:
    """The table has the status and the code of each HTTP error."""

    def kinds(kind: type[HTTPError]) -> set[type[HTTPError]]:
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    known = {(kind.status, kind.code) for kind in kinds(HTTPError) if not kind.__name__.startswith("_")}
    by_http = {(405, "method_not_allowed"), (500, "internal")}
    found = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", Document("docs/api/requests.md").text, re.MULTILINE)
    documented = {(int(status), code) for status, code in found}
    assert documented == known | by_http


def test_every_failure_is_in_the_tables() -> None:
    """The reference has each code with its status of `/api/chat`; the guide has its text in both languages."""
    api = {cells[0]: cells[-1] for cells in API.rows()}
    guide = {cells[0]: "|".join(cells) for cells in STREAMING.rows()}
    assert set(get_args(FailureCode)) == set(FAILURES)
    for code, texts in FAILURES.items():
        status, _ = NATIVE.response(entries((0.0, accepted()), (0.0, Started()), (1.0, Failed(code))))
        assert api[code] == str(status), code
        for text in texts.values():
            assert text in guide[code]


def test_every_endpoint_is_in_the_reference() -> None:
    """The reference describes every endpoint of the OpenAPI document."""
    for path, methods in full_document()["paths"].items():
        address = re.sub(r"\{\w+\}", "<id>", path)
        for method in methods.keys() & {"get", "post", "delete"}:
            assert f"{method.upper()} {address}" in API.text


def test_the_style_tables_are_correct() -> None:
    """Both tables have the intervals, chunkings and pauses of the styles."""
    paths = {style.name: path for path, style in ENDPOINTS.items()}
    expected = {
        "endpoint": [paths[name] for name in STYLES],
        "seconds between progress events": [f"{style.interval:g}" for style in STYLES.values()],
        "default chunking": [style.chunking for style in STYLES.values()],
        "seconds between chunks": [f"{style.pause:g}" for style in STYLES.values()],
    }
    api = {cells[0]: cells[1:] for cells in API.rows()}
    assert {row: api[row] for row in expected} == expected
    guide = {cells[0]: cells[1:4] for cells in STREAMING.rows()}
    assert guide["progress: text, percent, seconds"] == [f"every {style.interval:g} s" for style in STYLES.values()]
    assert guide["pause between chunks"] == [f"{style.pause:g} s" for style in STYLES.values()]
