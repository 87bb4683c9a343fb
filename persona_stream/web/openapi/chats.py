"""The addresses that take a question: three that stream, and one that answers once."""

from __future__ import annotations

from persona_stream.core.projection import StreamStyle
from persona_stream.protocols.native.responses import ChatAnswer
from persona_stream.protocols.native.schemas import CancelledFrame, ErrorFrame, TimeoutFrame
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.parameters import RUN_HEADERS, header, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref
from persona_stream.web.parsing import ChatRequest
from persona_stream.web.routes.stream_chat import ENDPOINTS

_REFUSED = (
    "InvalidRequest",
    "Unauthorized",
    "Forbidden",
    "NoProfile",
    "Conflict",
    "TooLarge",
    "UnsupportedMediaType",
    "Busy",
    "Internal",
    "Unavailable",
)
_BODY: Node = {
    "required": True,
    "content": {"application/json": {"schema": ref(ChatRequest.__name__), "example": examples.REQUEST}},
}
LINKS: Node = {
    name: {"operationId": name, "parameters": {"run_id": "$response.header.X-Run-Id"}, "description": description}
    for name, description in (
        ("readRun", "Read the run again, from any position."),
        ("showRun", "See how far it is."),
        ("cancelRun", "Cancel it."),
    )
}
RUN_LINKS: Node = {name: {"$ref": f"#/components/links/{name}"} for name in LINKS}


def paths() -> Node:
    """Describe these addresses."""
    streams: Node = {path: {"post": _streaming(style)} for path, style in ENDPOINTS.items()}
    return streams | {"/api/chat": {"post": _chat()}}


def _streaming(style: StreamStyle) -> Node:
    return {
        "operationId": "streamChat" + ("" if style.name == "basic" else style.name.title()),
        "tags": ["Streams"],
        "summary": f"Ask, and read the stream (style {style.name})",
        "description": (
            f"Progress every {style.interval:g} s while the backend is at work; then the answer, cut into"
            f" {style.chunking} unless `chunking` says otherwise, about {style.pause:g} s between two pieces. The last"
            " event is the one with `is_complete` true. The run goes on when the connection breaks: read on with"
            " `GET /api/runs/{run_id}/events`."
        ),
        "parameters": parameters("IdempotencyKey", "AcceptLanguage", "PersonaResume"),
        "requestBody": _BODY,
        "responses": {
            "200": {
                "description": "The stream of the run, from its beginning.",
                "headers": RUN_HEADERS,
                "content": {
                    "text/event-stream": {
                        "itemSchema": ref(f"{style.name.title()}Event"),
                        "examples": {
                            "answered": {
                                "summary": "A run of 3.5 seconds, as it goes over the wire",
                                "serializedValue": examples.stream(style),
                            }
                        },
                    }
                },
                "links": RUN_LINKS,
            },
            **refusals(*_REFUSED, "NotAcceptable", on_stream=True),
        },
    }


def _chat() -> Node:
    return {
        "operationId": "chat",
        "tags": ["Streams"],
        "summary": "Ask, and get the whole answer at once",
        "description": "The same run, answered once, when it is done; an answer may take as long as the deadline.",
        "parameters": parameters("IdempotencyKey", "AcceptLanguage"),
        "requestBody": _BODY,
        "responses": {
            "200": {
                "description": "The answer.",
                "headers": RUN_HEADERS,
                "content": {"application/json": {"schema": ref(ChatAnswer.__name__), "example": examples.answer()}},
                "links": RUN_LINKS,
            },
            **refusals(*_REFUSED),
            **_failures(),
        },
    }


def _failures() -> Node:
    """Describe the statuses that a run without an answer ends with; some of them a refusal has too."""
    error, cancelled, timeout = (ref(frame.__name__) for frame in (ErrorFrame, CancelledFrame, TimeoutFrame))
    maybe_a_run: Node = {"X-Run-Id": header("RunIdIfStarted")}
    return {
        "409": _failure(
            "The run was cancelled (`cancelled`), or the idempotency key was used with another endpoint or body"
            " (`conflict`).",
            {"oneOf": [cancelled, error]},
            examples.failure("cancelled", 12.3),
            maybe_a_run,
        ),
        "500": _failure(
            "The backend failed in a way that it did not mean to (`internal`), or its answer is over the limit"
            " (`answer_too_large`).",
            error,
            examples.failure("internal", 1.2),
            maybe_a_run,
        ),
        "502": _failure(
            "The backend says, on purpose, why there is no answer (`backend_error`), or the process that ran it died"
            " (`lost`).",
            error,
            examples.failure("backend_error", 1.2, "The archive is closed today."),
            RUN_HEADERS,
        ),
        "503": _failure(
            "The server is shutting down, with the run or before it (`draining`), or something that it needs is out of"
            " reach (`unavailable`).",
            error,
            examples.failure("draining", 1.2),
            maybe_a_run | {"Retry-After": header("RetryAfterIfUseful")},
        ),
        "504": _failure("The deadline passed.", timeout, examples.failure("timeout", 150.0), RUN_HEADERS),
    }


def _failure(description: str, schema: Node, example: object, headers: Node) -> Node:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"description": description, "headers": headers, "content": content}
