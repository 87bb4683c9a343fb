"""Parts of the OpenAPI document that several routes share: parameters, headers, errors, links, security schemes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from persona_stream.auth.jwt import missing_token
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
from persona_stream.journals.base import KEY_CONFLICT_MESSAGE
from persona_stream.web.openapi.examples import EVENTS_URL, RUN_ID
from persona_stream.web.openapi.operations import Body, ErrorSpec, Parameter, ResponseSpec


def limit_parameter(items: str, largest: int, *, default: int) -> Parameter:
    """Return the query parameter ``limit``, which is the maximum length of a page."""
    return Parameter(
        name="limit",
        location="query",
        description=f"Maximum number of {items} to return.",
        type=Annotated[int, Meta(ge=1, le=largest)],
        default=default,
    )


RUN_ID_IN_PATH = Parameter(
    name="run_id",
    location="path",
    description="Run id.",
    type=Annotated[str, Meta(min_length=1)],
    required=True,
    example=RUN_ID,
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    location="header",
    description="Unique key of the request, chosen by the client. A repeated request with the same key and body returns"
    " the run that the first one started.",
    type=Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,255}$")],
)
ACCEPT_LANGUAGE = Parameter(
    name="Accept-Language",
    location="header",
    description="Language of texts, unless the body specifies one: `zh` or `en`.",
)
RESUME = Parameter(
    name="X-Persona-Resume",
    location="header",
    description="`1` if the client resumes by itself: during a connection hand-over the server may then end the stream"
    " with a comment and no last event, and the client resumes with `Last-Event-ID`.",
)
HEARTBEAT = Parameter(
    name="X-Persona-Heartbeat",
    location="header",
    description="Heartbeat while the backend is working: comments (the default), empty chunks, or none.",
    choices=("comment", "delta", "off"),
)

_RUN_ID_HEADER = Parameter(name="X-Run-Id", location="header", description="Run id.", required=True, example=RUN_ID)
RUN_ID_IF_STARTED = Parameter(
    name="X-Run-Id", location="header", description="Run id, if a run was started.", example=RUN_ID
)
RUN_HEADERS = (
    _RUN_ID_HEADER,
    Parameter(
        name="Location",
        location="header",
        description="URL of the run's event stream, for requests with the caller's token.",
        type=Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})],
        required=True,
        example=f"/api/runs/{RUN_ID}/events",
    ),
)
RETRY_AFTER = Parameter(
    name="Retry-After",
    location="header",
    description="Seconds after which to retry; absent once the run has ended.",
    type=Annotated[int, Meta(ge=0)],
    example=2,
)
SHOULD_RETRY = Parameter(
    name="x-should-retry",
    location="header",
    description="`false` if a retry would fail again; SDKs that retry automatically honour it.",
    type=Literal["false"],
    example="false",
)
ERROR_HEADERS: Mapping[str, Parameter] = {
    "Retry-After": Parameter(
        name="Retry-After",
        location="header",
        description="Seconds after which to retry.",
        type=Annotated[int, Meta(ge=0)],
        required=True,
        example=2,
    ),
    "WWW-Authenticate": Parameter(
        name="WWW-Authenticate",
        location="header",
        description="Challenge as defined by RFC 6750, with the reason why the token was rejected.",
        example='Bearer realm="persona_stream", error="invalid_token"',
    ),
}
"""Headers of error responses, by the name under which an exception sends them."""


class _InternalError(HTTPError):
    """Any exception that is not an HTTPError, as a client sees it."""

    status = 500
    code = "internal"


INVALID_REQUEST = ErrorSpec(
    "InvalidRequest", InvalidRequest("username: is required"), "The body, a parameter or a header is invalid."
)
UNAUTHORIZED = ErrorSpec(
    "Unauthorized",
    missing_token(),
    "The token is missing, malformed, expired, not yet valid, or has an invalid signature.",
)
FORBIDDEN = ErrorSpec(
    "Forbidden",
    Forbidden("This token lacks the scope 'chat'", {"WWW-Authenticate": ""}),
    "The token lacks the required scope.",
)
PERSONA_NOT_FOUND = ErrorSpec("PersonaNotFound", NotFound("User profile not found"), "No persona has this username.")
MODEL_NOT_FOUND = ErrorSpec("ModelNotFound", ModelNotFound(), "No persona has the name of this model.")
RUN_NOT_FOUND = ErrorSpec(
    "RunNotFound", NotFound("Run not found"), "The run does not exist, or belongs to another caller."
)
RUN_GONE = ErrorSpec(
    "RunGone",
    Gone("The run's retention period has ended; it will not be run again"),
    "The run's retention period has ended.",
)
NOT_ACCEPTABLE = ErrorSpec(
    "NotAcceptable",
    NotAcceptable("Accept: must include text/event-stream"),
    "`Accept` allows neither an event stream nor JSON.",
)
CONFLICT = ErrorSpec(
    "Conflict",
    Conflict(KEY_CONFLICT_MESSAGE),
    "The idempotency key was used with another endpoint or body.",
)
TOO_LARGE = ErrorSpec(
    "TooLarge", TooLarge("The request body is too large"), "The body exceeds the size limit (1 MiB by default)."
)
UNSUPPORTED_MEDIA_TYPE = ErrorSpec(
    "UnsupportedMediaType",
    UnsupportedMediaType("Content-Type: must be application/json"),
    "The body is not JSON, or is compressed.",
)
BUSY = ErrorSpec(
    "Busy",
    Overloaded("The server is at capacity; retry in 2 s"),
    "The server is at capacity, or the caller has reached a limit.",
)
INTERNAL = ErrorSpec("Internal", _InternalError("Internal server error; try again"), "Internal server error.")
UNAVAILABLE = ErrorSpec(
    "Unavailable",
    ShuttingDown("The server is shutting down; retry in 2 s"),
    "The server is shutting down (`draining`), or a required service is unavailable (`unavailable`).",
)

COMMON_ERRORS = (UNAUTHORIZED, FORBIDDEN, INTERNAL, UNAVAILABLE)
"""Errors of every operation that needs a token."""
BODY_ERRORS = (INVALID_REQUEST, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
"""Errors of every operation that reads a JSON body."""
RUN_ERRORS = (*COMMON_ERRORS, *BODY_ERRORS, CONFLICT, BUSY)
"""Errors of every operation that starts a run."""


def run_failures(error: type[Struct]) -> Mapping[int, ResponseSpec]:
    """Return the responses of ``/v1`` for runs that fail before the first byte, by status.

    Args:
        error: error body of the protocol.
    """
    descriptions = {
        409: "The run was cancelled, or the idempotency key was used with another endpoint or body.",
        500: "The backend failed, or its answer exceeds the size limit (`answer_too_large`).",
        502: "The backend reported an error (`backend_error`), or its process died (`lost`).",
        504: "The run exceeded its deadline (`timeout`).",
    }
    return {
        status: ResponseSpec(
            description=description, bodies=(Body(schema=(error,)),), headers=(RUN_ID_IF_STARTED, SHOULD_RETRY)
        )
        for status, description in descriptions.items()
    }


LINKS: Mapping[str, Any] = {
    name: {"operationId": name, "parameters": {"run_id": "$response.header.X-Run-Id"}, "description": description}
    for name, description in (
        ("readRun", "Resume the stream of the run from any position."),
        ("showRun", "Get the state of the run."),
        ("cancelRun", "Cancel the run."),
    )
}
RUN_LINKS: Sequence[str] = tuple(LINKS)

SECURITY_SCHEMES: Mapping[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "JSON Web Token with `sub` (the caller) and `exp`. A `scope`, if present, must contain `chat`."
        " `persona-stream token --user NAME` prints one.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same token, for clients that send no `Authorization` header.",
    },
    "admin": {
        "type": "apiKey",
        "in": "cookie",
        "name": "persona_stream_admin",
        "description": "Token with the scope `admin`, set as a cookie by `/dashboard/login`.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "Ticket of `events_url`, which authorizes reading one run: for `EventSource`, which cannot send"
        f" headers. Example: `{EVENTS_URL}`.",
    },
}
