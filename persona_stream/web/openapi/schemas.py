"""The schemas of the document, read off the types that parse and write the wire."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from persona_stream.chunking import registry as chunking
from persona_stream.protocols.anthropic.decoder import CountTokensRequest, MessagesRequest
from persona_stream.protocols.anthropic.schemas import Message, MessageEvent, ModelInfoList, TokenCount
from persona_stream.protocols.native.responses import ChatAnswer, RunList, RunView
from persona_stream.protocols.native.schemas import (
    AdvancedChunkFrame,
    BasicChunkFrame,
    CancelledFrame,
    CompleteFrame,
    ErrorFrame,
    OpeningFrame,
    ProcessingCompleteFrame,
    ProcessingFrame,
    QueuedFrame,
    ReasoningFrame,
    SmartChunkFrame,
    TimeoutFrame,
)
from persona_stream.protocols.openai.decoder import ChatCompletionRequest
from persona_stream.protocols.openai.schemas import ChatCompletion, ChatCompletionChunk, ErrorBody, ModelList
from persona_stream.web.parsing import ChatRequest
from persona_stream.web.routes.conversations import ConversationDeleted, ConversationList, ConversationPage
from persona_stream.web.routes.health import Health
from persona_stream.web.routes.personas import ProfileList

Node = dict[str, Any]
"""A part of the document: what JSON calls an object."""

_EVERYWHERE: tuple[type, ...] = (
    OpeningFrame,
    QueuedFrame,
    ProcessingFrame,
    ProcessingCompleteFrame,
    ReasoningFrame,
    CompleteFrame,
    ErrorFrame,
    TimeoutFrame,
    CancelledFrame,
)
PIECES: dict[str, type] = {
    "basic": BasicChunkFrame,
    "advanced": AdvancedChunkFrame,
    "smart": SmartChunkFrame,
}
"""The frame that carries the answer, by style."""
_BODIES: tuple[type, ...] = (
    ChatAnswer,
    RunView,
    RunList,
    ConversationList,
    ConversationPage,
    ConversationDeleted,
    ProfileList,
    Health,
    ChatCompletion,
    ChatCompletionChunk,
    ErrorBody,
    ModelList,
    Message,
    TokenCount,
    ModelInfoList,
)
_MESSAGE_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(MessageEvent)
_REQUESTS: tuple[type, ...] = (ChatRequest, ChatCompletionRequest, MessagesRequest, CountTokensRequest)
_READ = frozenset(msgspec.json.schema_components(_REQUESTS)[1])
"""The names of all that requests are made of."""


def ref(name: str) -> Node:
    """Point to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> Node:
    """Give every schema, by name."""
    types = (*_REQUESTS, *_EVERYWHERE, *PIECES.values(), *_BODIES, *_MESSAGE_EVENTS)
    _, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for name, schema in found.items():
        if name == ChatRequest.__name__:
            _say_what_types_cannot(schema["properties"])
        if name in _READ:
            _read(schema)
        else:
            _written(schema)
        for node in schema["properties"].values():
            _constant(node)
    for style, piece in PIECES.items():
        name, frames_of_style = style.title(), [each.__name__ for each in (*_EVERYWHERE[:4], piece, *_EVERYWHERE[4:])]
        found[f"{name}Frame"] = _one_of(frames_of_style, found)
        found[f"{name}Event"] = _event(ref(f"{name}Frame"), _listed(frames_of_style, found))
    names = [f"{style.title()}Frame" for style in PIECES]
    # A frame of smart has all that one of advanced has: of the three, more than one may fit.
    found["RunEvent"] = _event({"anyOf": [ref(name) for name in names]}, "In the style that was asked for.")
    found["RefusalEvent"] = _refusal_event()
    found["ChatCompletionEvent"] = _chunk_event()
    found["MessageStreamEvent"] = _message_event()
    return found


def _say_what_types_cannot(properties: Node) -> None:
    """Add the two rules of a request that are checked after its type."""
    properties["message"]["pattern"] = r"\S"
    properties["chunking"]["anyOf"][0]["enum"] = list(chunking.names())


def _read(schema: Node) -> None:
    """Leave out the defaults of a request: null means left out, and is not worth proposing."""
    for node in schema["properties"].values():
        node.pop("default", None)


def _written(schema: Node) -> None:
    """Turn the schema of what may be read into the one of what is written: a field with a default is always there."""
    properties, required = schema["properties"], schema.get("required", ())
    schema["required"] = [name for name, node in properties.items() if name in required or "default" in node]
    for node in properties.values():
        node.pop("default", None)


def _constant(node: Node) -> None:
    """Write a choice of one as a constant, and name the type that the choices have."""
    for choice in (node, *node.get("anyOf", ())):
        values = choice.get("enum", ())
        if values:
            choice["type"] = "boolean" if isinstance(values[0], bool) else _type(values[0])
        if len(values) == 1:
            choice["const"] = choice.pop("enum")[0]
    if "const" in node:  # the tag of a Struct cannot carry a description of its own
        node.setdefault("description", f"Always `{node['const']}`.")


def _type(value: object) -> str:
    return "integer" if isinstance(value, int) else "string"


def _by_status(names: list[str], found: Node) -> dict[str, str]:
    """Give the frame that each status stands for."""
    statuses = {name: found[name]["properties"]["status"] for name in names}
    return {value: name for name, node in statuses.items() for value in node.get("enum") or [node["const"]]}


def _one_of(names: list[str], found: Node) -> Node:
    mapping = {status: ref(name)["$ref"] for status, name in _by_status(names, found).items()}
    return {
        "description": "The `data` of an event: its `status` says which of these it is.",
        "oneOf": [ref(name) for name in names],
        "discriminator": {"propertyName": "status", "mapping": mapping},
    }


def _listed(names: list[str], found: Node) -> str:
    """Say for people what the schema says for programs: many pages do not show the schema of JSON within a text."""
    told = (
        f"- `{status}` (`{name}`): {found[name]['description']}" for status, name in _by_status(names, found).items()
    )
    return "\n".join(["Its `status` says what it is:", "", *told])


def _event(frame: Node, about: str) -> Node:
    return {
        "type": "object",
        "description": "An event. Send its `id` back as `Last-Event-ID`, and the stream goes on from there.",
        "properties": {
            "id": {
                "type": "string",
                "pattern": r"^[^/]+/[0-9]+\.[0-9]+$",
                "description": "The position that the reader has with this event. Progress does not move it.",
            },
            "data": _json_in_text(frame, about),
        },
        "required": ["id", "data"],
    }


def _refusal_event() -> Node:
    return {
        "type": "object",
        "description": "The one event of a refusal. It has no `id`, because it belongs to no run.",
        "properties": {"data": _json_in_text(ref(ErrorFrame.__name__), "An `ErrorFrame`.")},
        "required": ["data"],
    }


def _chunk_event() -> Node:
    chunk, error = (ref(each.__name__) for each in (ChatCompletionChunk, ErrorBody))
    about = "A `ChatCompletionChunk`, or an `ErrorBody` when there is no more. The very last is `[DONE]`, and no JSON."
    return {
        "type": "object",
        "description": "An event of OpenAI's wire, which has neither ids nor names. Between them there are comments.",
        "properties": {
            "data": {
                "description": "A chunk, or `[DONE]` at the end of the stream.",
                "anyOf": [{"const": "[DONE]"}, _json_in_text({"oneOf": [chunk, error]}, about)],
            }
        },
        "required": ["data"],
    }


def _message_event() -> Node:
    mapping = {str(kind.__struct_config__.tag): ref(kind.__name__) for kind in _MESSAGE_EVENTS}
    one = {
        "oneOf": list(mapping.values()),
        "discriminator": {"propertyName": "type", "mapping": {name: to["$ref"] for name, to in mapping.items()}},
    }
    return {
        "type": "object",
        "description": "An event of Anthropic's wire, which has a name and no id.",
        "properties": {
            "event": {"type": "string", "enum": list(mapping), "description": "The `type` in its data."},
            "data": _json_in_text(one, "Its `type` says what it is."),
        },
        "required": ["event", "data"],
    }


def _json_in_text(schema: Node, about: str) -> Node:
    return {
        "type": "string",
        "description": f"One line of JSON. {about}",
        "contentMediaType": "application/json",
        "contentSchema": schema,
    }
