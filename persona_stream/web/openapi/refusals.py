"""Refusals as the document shows them: on streams as one event or as JSON, elsewhere as JSON of the dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from persona_stream.auth.jwt import missing_token
from persona_stream.core import sse
from persona_stream.errors import (
    Conflict,
    Forbidden,
    Gone,
    HTTPError,
    InvalidRequest,
    ModelNotFound,
    NotAcceptable,
    NotFound,
    Overloaded,
    ShuttingDown,
    TooLarge,
    UnsupportedMediaType,
)
from persona_stream.protocols.anthropic.schemas import error_body
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.protocols.openai import schemas as openai
from persona_stream.web.openapi.parameters import header
from persona_stream.web.openapi.schemas import Node, ref


class _Internal(HTTPError):
    status, code = 500, "internal"


# By the name that the document has for it: one case of it, and when it comes.
_REFUSALS: Mapping[str, tuple[HTTPError, str]] = {
    "InvalidRequest": (
        InvalidRequest("username: is required"),
        "The body, a parameter or a header breaks its rule; the text names it.",
    ),
    "Unauthorized": (
        missing_token(),
        "There is no token, or it is malformed, expired, not valid yet or wrongly signed.",
    ),
    "Forbidden": (
        Forbidden("This token lacks the scope 'chat'", {"WWW-Authenticate": ""}),
        "The token lacks the scope.",
    ),
    "NotAdmin": (
        Forbidden("This token lacks the scope 'admin'"),
        "The token lacks the scope `admin`, or another site's page has sent this.",
    ),
    "NothingHere": (
        NotFound("There is nothing at this address"),
        "There is nothing of this name.",
    ),
    "NoProfile": (
        NotFound("User profile not found"),
        "No persona has this username.",
    ),
    "NoModel": (
        ModelNotFound(),
        "No persona has the name of this model.",
    ),
    "NoRun": (
        NotFound("There is no such run"),
        "There is no such run, or it is somebody else's.",
    ),
    "NoConversation": (
        NotFound("There is no such conversation"),
        "There is no such conversation, or it is somebody else's.",
    ),
    "NotAcceptable": (
        NotAcceptable("Accept: must include text/event-stream"),
        "`Accept` takes neither events nor JSON.",
    ),
    "Conflict": (
        Conflict("This Idempotency-Key was used for another request: use a new key for a new request"),
        "The idempotency key was used with another endpoint or body.",
    ),
    "Gone": (
        Gone("This run is past its retention: its answer is no longer kept, and it will not be run again"),
        "The run is past its retention, and is not run again.",
    ),
    "TooLarge": (
        TooLarge("The body is over the limit"),
        "The body is over the limit, which is 1 MiB unless the operator has chosen another.",
    ),
    "UnsupportedMediaType": (
        UnsupportedMediaType("Content-Type: must be application/json"),
        "The body is not JSON, or is compressed.",
    ),
    "Busy": (
        Overloaded("Every place is taken: try again in a moment"),
        "Too many runs are under way, in all or of yours.",
    ),
    "Internal": (
        _Internal("Something went wrong on our side: try again"),
        "Something went wrong that should not.",
    ),
    "Unavailable": (
        ShuttingDown("The server is shutting down: try again in a moment"),
        "The server is shutting down (`draining`), or something that it needs is out of reach (`unavailable`).",
    ),
}
_HEADERS = {"WWW-Authenticate": "WWWAuthenticate", "Retry-After": "RetryAfter"}
_ON_STREAM, _IN_OPENAI, _IN_ANTHROPIC = "OnStream", "InOpenAI", "InAnthropic"


def refusals(*names: str, on_stream: bool = False, in_openai: bool = False, in_anthropic: bool = False) -> Node:
    """Point to refusals of the document, by status. In two protocols they have the shape of either."""
    suffix = _ON_STREAM * on_stream + _IN_OPENAI * in_openai + _IN_ANTHROPIC * in_anthropic
    by_status = sorted((_REFUSALS[name][0].status, name) for name in names)
    return {str(status): {"$ref": f"#/components/responses/{name}{suffix}"} for status, name in by_status}


def responses() -> Node:
    """Give every refusal: as JSON, as it is on streams, and as OpenAI's and Anthropic's clients read it."""
    found: Node = {}
    for name, case in _REFUSALS.items():
        found[name] = _response(*case, on_stream=False)
        found[name + _ON_STREAM] = _response(*case, on_stream=True)
        found[name + _IN_OPENAI] = _foreign(*case, openai.error_body)
        found[name + _IN_ANTHROPIC] = _foreign(*case, error_body)
        found[name + _IN_OPENAI + _IN_ANTHROPIC] = _foreign(*case, openai.error_body, error_body)
    return found


def _response(refusal: HTTPError, when: str, *, on_stream: bool) -> Node:
    frame = ErrorFrame(error=refusal.message, code=refusal.code)
    content: Node = {}
    if on_stream:
        text = sse.anonymous_event(dump_json(frame)).decode()
        content["text/event-stream"] = {
            "itemSchema": ref("RefusalEvent"),
            "examples": {"refused": {"serializedValue": text}},
        }
    content["application/json"] = {"schema": ref(ErrorFrame.__name__), "example": msgspec.to_builtins(frame)}
    return {"description": when, "content": content, **_headers(refusal)}


def _foreign(refusal: HTTPError, when: str, *writers: Callable[[ErrorInfo], msgspec.Struct]) -> Node:
    refused = ErrorInfo(refusal.status, refusal.code, refusal.message, refusal.field)
    bodies = {type(body).__name__: body for body in (write(refused) for write in writers)}
    schemas = [ref(name) for name in bodies]
    content = {
        "schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas},
        "examples": {name: {"dataValue": msgspec.to_builtins(body)} for name, body in bodies.items()},
    }
    return {"description": when, "content": {"application/json": content}, **_headers(refusal)}


def _headers(refusal: HTTPError) -> Node:
    return {"headers": {name: header(_HEADERS[name]) for name in refusal.headers}} if refusal.headers else {}
