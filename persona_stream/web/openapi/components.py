"""Parts of the OpenAPI document that several routes share: tags, parameters, headers, errors and examples.

Examples are encoded by the server's own encoders from a small recorded run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from persona_stream import errors
from persona_stream.auth import base, tickets
from persona_stream.chunking.registry import get_chunker
from persona_stream.core import events, facts, projection, query, sse
from persona_stream.journals.base import KEY_CONFLICT_MESSAGE, RUN_GONE_MESSAGE, RUN_NOT_FOUND_MESSAGE
from persona_stream.protocols.base import EventEncoder, Heartbeat
from persona_stream.web.openapi.spec import Body, ErrorSpec, Parameter, ResponseSpec, Tag

ACCEPTED_AT = 1_795_154_400.0  # 2026-11-20 06:00 UTC; the run id contains the same time
RUN_ID = "01m7vrmmr0hqz3v8dn4k7tw2xb"
EVENTS_URL = f"/api/runs/{RUN_ID}/events?ticket={tickets.RunURLSigner(lambda: 'example secret').sign(RUN_ID)}"
USERNAME = "VitalikButerin"
QUESTION = "What is Ethereum?"
MESSAGES = ({"role": "user", "content": QUESTION},)

RUNNING = (
    facts.Entry(
        ACCEPTED_AT,
        facts.Accepted(
            run_id=RUN_ID,
            owner="alice",
            username=USERNAME,
            conversation_id=f"c-{RUN_ID}",
            style="smart",
            chunking="words",
            locale="en",
            reasoning=False,
            deadline=150.0,
            resume_for=900.0,
        ),
    ),
    facts.Entry(ACCEPTED_AT, facts.Started()),
)
"""Journal of a run that has just started."""
COMPLETE = (
    *RUNNING,
    facts.Entry(
        ACCEPTED_AT + 3.5,
        facts.Answered(
            "Ethereum is a blockchain that runs programs. Anyone can deploy one, and no one can stop it.",
            query.Usage(input_tokens=412, output_tokens=19),
        ),
    ),
)
"""Journal of the same run after its answer."""


def failed_run(code: facts.FailureCode, after: float, text: str | None = None) -> Sequence[facts.Entry]:
    """Return the journal of the same run, failed after so many seconds."""
    return (*RUNNING, facts.Entry(ACCEPTED_AT + after, facts.Failed(code, text)))


def render_stream(
    create_encoder: Callable[[Sequence[facts.Entry]], EventEncoder], style: projection.StreamStyle = projection.SMART
) -> str:
    """Return the complete stream of the run as a client gets it from the encoder of the run's journal."""
    # The projection of the journal, with a clock that jumps to the time of the next event.
    sent = b""
    journal = [COMPLETE[0]]
    times = [ACCEPTED_AT]
    encoder = create_encoder(journal)
    options = projection.SubscriptionOptions(style, get_chunker(style.chunking), "en")
    for step in projection.StreamProjection(journal, options, lambda: times[-1]):
        if isinstance(step, events.Wait):
            upcoming = COMPLETE[len(journal) : len(journal) + 1]
            times.append(min([step.until, *(entry.at for entry in upcoming)]))
            journal.extend(entry for entry in upcoming if entry.at <= times[-1])
        else:
            sent += sse.encode_all(encoder.encode(step))
    return sent.decode()


OPENAI_TAG = Tag("OpenAI", "OpenAI-compatible API, for existing clients.")
ANTHROPIC_TAG = Tag("Anthropic", "Anthropic-compatible API, for existing clients.")
DASHBOARD_TAG = Tag("Dashboard", "Dashboard and request log, for the operator.")


def limit_parameter(items: str, largest: int, *, default: int) -> Parameter:
    """Return the query parameter ``limit``, which is the maximum length of a page."""
    kind = Annotated[int, Meta(ge=1, le=largest)]
    return Parameter("query", "limit", f"Maximum number of {items} to return.", kind, default=default)


def next_page_parameter(name: str, kind: Any = str) -> Parameter:
    """Return the query parameter that continues a list where the previous page ended."""
    return Parameter("query", name, "`next` of the previous page.", kind)


_header = partial(Parameter, "header")
RUN_ID_IN_PATH = Parameter.path("run_id", "Run id.", RUN_ID)
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "Unique key of the request, chosen by the client. A repeated request with the same key and body returns the run"
    " that the first one started.",
    Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,255}$")],
)
INPUT_KEY = _header(
    "Idempotency-Key",
    "Unique key of the answer, chosen by the client. A repeated answer with the same key succeeds like the first one.",
    Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,255}$")],
)
ACCEPT_LANGUAGE = _header(
    "Accept-Language",
    "Language of texts, unless the body specifies one: `zh` or `en`. By default `en` on `/v1`, else `zh`.",
)
CONVERSATION_ID = _header(
    "X-Conversation-Id",
    "Conversation of this server to continue, for requests without a history of their own."
    " `metadata.conversation_id` in the body means the same.",
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")],
)
V1_PARAMETERS = (IDEMPOTENCY_KEY, ACCEPT_LANGUAGE, CONVERSATION_ID)
RESUME = _header(
    "X-Persona-Resume",
    "`1` if the client resumes by itself: during a connection hand-over the server may then end the stream with a"
    " comment and no last event, and the client resumes with `Last-Event-ID`.",
)
HEARTBEAT = _header(
    "X-Persona-Heartbeat",
    "Heartbeat while the backend is working: comments (the default unless the operator sets another one), empty chunks,"
    " chunks with a status, or none; for responses also `keepalive` or `persona_stream:progress` events.",
    choices=get_args(Heartbeat),
)

_URI = Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})]
_COUNT = Annotated[int, Meta(ge=0)]
_LOCATION = "URL of the run's event stream, for requests with the caller's token."
RUN_ID_IF_STARTED = _header("X-Run-Id", "Run id, if a run was started.", example=RUN_ID)
CACHE = _header(
    "X-Persona-Cache", "`hit` if the answer is that of an earlier run; otherwise absent.", Literal["hit"], example="hit"
)
RUN_HEADERS = (
    _header("X-Run-Id", "Run id.", required=True, example=RUN_ID),
    _header("Location", _LOCATION, _URI, required=True, example=f"/api/runs/{RUN_ID}/events"),
    CACHE,
)
RETRY_AFTER = _header("Retry-After", "Seconds after which to retry; absent once the run has ended.", _COUNT, example=2)
SHOULD_RETRY = _header(
    "x-should-retry",
    "`false` if a retry would fail again; SDKs that retry automatically honour it.",
    Literal["false"],
    example="false",
)
ERROR_HEADERS: Mapping[str, Parameter] = {
    "Upgrade": _header("Upgrade", "Protocol to upgrade to.", Literal["websocket"], example="websocket"),
    "Retry-After": _header("Retry-After", "Seconds after which to retry.", _COUNT, required=True, example=2),
    "WWW-Authenticate": _header(
        "WWW-Authenticate",
        "Challenge as defined by RFC 6750, with the reason why the token was rejected.",
        example='Bearer realm="persona_stream", error="invalid_token"',
    ),
}
"""Headers of error responses, by the name under which an exception sends them."""


class _InternalError(errors.HTTPError):
    """Any exception that is not an HTTPError, as a client sees it."""

    status = 500
    code = "internal"


INVALID_REQUEST = ErrorSpec(
    errors.InvalidRequest("username: is required"), "The body, a parameter or a header is invalid."
)
UNAUTHORIZED = ErrorSpec(
    base.missing_token(), "The token or API key is missing, malformed, expired, not yet valid, or not authentic."
)
FORBIDDEN = ErrorSpec(
    errors.Forbidden("This token lacks the scope 'chat'", {"WWW-Authenticate": ""}),
    "The token lacks the required scope.",
)
PERSONA_NOT_FOUND = ErrorSpec(
    errors.NotFound("User profile not found"), "No persona has this username.", name="PersonaNotFound"
)
MODEL_NOT_FOUND = ErrorSpec(errors.ModelNotFound(), "No persona has the name of this model.")
RUN_NOT_FOUND = ErrorSpec(
    errors.NotFound(RUN_NOT_FOUND_MESSAGE), "The run does not exist, or belongs to another caller.", name="RunNotFound"
)
RUN_GONE = ErrorSpec(
    errors.Gone(RUN_GONE_MESSAGE),
    "The run's retention period has ended, or its owner deleted it.",
    name="RunGone",
)
NOT_ACCEPTABLE = ErrorSpec(
    errors.NotAcceptable("Accept: must include text/event-stream"), "`Accept` allows neither an event stream nor JSON."
)
CONFLICT = ErrorSpec(
    errors.Conflict(KEY_CONFLICT_MESSAGE), "The idempotency key was used with another endpoint or body."
)
TOO_LARGE = ErrorSpec(
    errors.TooLarge("The request body is too large"), "The body exceeds the size limit (1 MiB by default)."
)
UNSUPPORTED_MEDIA_TYPE = ErrorSpec(
    errors.UnsupportedMediaType("Content-Type: must be application/json"), "The body is not JSON, or is compressed."
)
BUSY = ErrorSpec(
    errors.Overloaded("The server is at capacity; retry in 2 s"),
    "The server is at capacity, or the caller has reached a limit.",
    name="Busy",
)
INTERNAL = ErrorSpec(_InternalError("Internal server error; try again"), "Internal server error.", name="Internal")
UNAVAILABLE = ErrorSpec(
    errors.ShuttingDown("The server is shutting down; retry in 2 s"),
    "The server is shutting down (`draining`), or a required service is unavailable (`unavailable`).",
    name="Unavailable",
)

COMMON_ERRORS = (UNAUTHORIZED, FORBIDDEN, INTERNAL, UNAVAILABLE)
"""Errors of every operation that needs a token."""
QUERY_ERRORS = (*COMMON_ERRORS, INVALID_REQUEST)
"""Errors of every operation that reads parameters."""
FOUND_RUN_ERRORS = (*COMMON_ERRORS, RUN_NOT_FOUND, RUN_GONE)
"""Errors of every operation on one run."""
BODY_ERRORS = (INVALID_REQUEST, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
"""Errors of every operation that reads a JSON body."""
RUN_ERRORS = (*COMMON_ERRORS, *BODY_ERRORS, CONFLICT, BUSY)
"""Errors of every operation that starts a run."""
V1_ERRORS = (*RUN_ERRORS, MODEL_NOT_FOUND, NOT_ACCEPTABLE)
"""Errors of every operation of ``/v1`` that starts a run."""


def run_started(description: str, *bodies: Body) -> ResponseSpec:
    """Return the response of an operation that starts a run, with links to the operations on it."""
    return ResponseSpec(description, bodies, RUN_HEADERS, ("readRun", "showRun", "cancelRun"))


def run_failures(error: type[Struct]) -> Mapping[int, ResponseSpec]:
    """Return the responses of ``/v1`` for runs that fail before the first byte, by status, with this error body."""
    descriptions = {
        409: "The run was cancelled, or the idempotency key was used with another endpoint or body.",
        500: "The backend failed, or its answer exceeds the size limit (`answer_too_large`).",
        502: "The backend reported an error (`backend_error`), or its process died (`lost`).",
        504: "The run exceeded its deadline (`timeout`).",
    }
    headers = (RUN_ID_IF_STARTED, SHOULD_RETRY)
    return {status: ResponseSpec(text, [Body.json(error)], headers) for status, text in descriptions.items()}
