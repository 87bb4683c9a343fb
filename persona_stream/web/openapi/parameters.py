"""What may be sent beside the body, and the headers that come back."""

from __future__ import annotations

from persona_stream.core.projection import STYLES
from persona_stream.web.openapi.examples import EVENTS_URL, RUN_ID
from persona_stream.web.openapi.schemas import Node
from persona_stream.web.routes.dashboard_api import YEAR_9999

_MOST_CHARACTERS = 10**15 - 1
_SHORT: Node = {"type": "string", "maxLength": 200}
_SECONDS: Node = {"type": "number", "minimum": 0, "maximum": YEAR_9999}
_EVENT_ID: Node = {"type": "string", "pattern": r"^([^/]{1,200}/[0-9]{1,15}\.[0-9]{1,15})?$"}

HEADERS: Node = {
    "RunId": {
        "description": "The name of the run.",
        "required": True,
        "schema": {"type": "string"},
        "example": RUN_ID,
    },
    "RunIdIfStarted": {
        "description": "The name of the run, if one was started.",
        "schema": {"type": "string"},
        "example": RUN_ID,
    },
    "Location": {
        "description": "Where the run can be read again, with the caller's token.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/api/runs/{RUN_ID}/events",
    },
    "RetryAfter": {
        "description": "Seconds after which to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
        "example": 2,
    },
    "RetryAfterIfUseful": {
        "description": "Seconds after which to ask again; not there when a run has ended.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 2,
    },
    "WWWAuthenticate": {
        "description": "The challenge of RFC 6750, with what is wrong with the token.",
        "schema": {"type": "string"},
        "example": 'Bearer realm="persona_stream", error="invalid_token"',
    },
    "ShouldRetry": {
        "description": "`false` where another try would only fail again: clients that try again by themselves obey.",
        "schema": {"type": "string", "const": "false"},
        "example": "false",
    },
    "ETag": {
        "description": "The version; send it back as `If-None-Match`.",
        "required": True,
        "schema": {"type": "string"},
    },
}


def header(name: str) -> Node:
    """Point to a header of the document."""
    return {"$ref": f"#/components/headers/{name}"}


RUN_HEADERS: Node = {"X-Run-Id": header("RunId"), "Location": header("Location")}


def _parameter(place: str, name: str, description: str, schema: Node, **more: object) -> Node:
    return {"name": name, "in": place, "description": description, "schema": schema, **more}


# No examples for what is optional: pages that make requests out of this document would send them.
PARAMETERS: Node = {
    "RunId": _parameter(
        "path", "run_id", "The name of the run.", {"type": "string", "minLength": 1}, required=True, example=RUN_ID
    ),
    "IdempotencyKey": _parameter(
        "header",
        "Idempotency-Key",
        "A name of your own for this request. Sent again with the same body, it gives the run that the first one"
        " started, and nothing is run twice.",
        {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    ),
    "AcceptLanguage": _parameter(
        "header",
        "Accept-Language",
        "The language of texts, where the body names none: `zh` or `en`.",
        {"type": "string"},
    ),
    "PersonaResume": _parameter(
        "header",
        "X-Persona-Resume",
        "Send `1` if you resume by yourself: then the server may end the connection after a comment, without a last"
        " event, when it hands its streams over, and you read on with `Last-Event-ID`.",
        {"type": "string"},
    ),
    "LastEventId": _parameter(
        "header",
        "Last-Event-ID",
        "The `id` of the last event that you have: the stream goes on after it. Empty means from the beginning."
        " `EventSource` sends it by itself. It comes before `last_event_id`, and both before `from`.",
        _EVENT_ID,
    ),
    "LastEventIdInQuery": _parameter(
        "query",
        "last_event_id",
        "The same as `Last-Event-ID`, for clients that can send no header.",
        _EVENT_ID,
    ),
    "From": _parameter(
        "query",
        "from",
        "Characters (Unicode code points) of the answer that you have: the stream goes on after them.",
        {"type": "integer", "minimum": 0, "maximum": _MOST_CHARACTERS, "default": 0},
    ),
    "Style": _parameter(
        "query",
        "style",
        "The form of the events; as the run was started, when left out.",
        {"type": "string", "enum": list(STYLES)},
    ),
    "Locale": _parameter(
        "query",
        "locale",
        "The language of status texts; as the run was started, when left out.",
        {"type": "string", "enum": ["zh", "en"]},
    ),
    "Dialect": _parameter(
        "query",
        "dialect",
        "Whose wire format to speak. With `openai` the events are `ChatCompletionEvent`s, with `anthropic`"
        " `MessageStreamEvent`s, and the style is smart's.",
        {"type": "string", "enum": ["native", "openai", "anthropic"], "default": "native"},
    ),
    "Heartbeat": _parameter(
        "header",
        "X-Persona-Heartbeat",
        "What to send while the backend is at work: comments (the default), empty chunks, or nothing. The operator may"
        " have switched the choice off.",
        {"type": "string", "enum": ["comment", "delta", "off"]},
    ),
    "Model": _parameter(
        "path",
        "model",
        "The name of a model.",
        {"type": "string", "minLength": 1},
        required=True,
        example="VitalikButerin",
    ),
    "AnthropicVersion": _parameter(
        "header",
        "anthropic-version",
        "Which version of Anthropic's protocol you speak: any will do.",
        {"type": "string"},
    ),
    "Limit": _parameter(
        "query", "limit", "How many runs to list.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    ),
    "Before": _parameter(
        "query", "before", "List runs that are older than this one: the `next` of the page before.", {"type": "string"}
    ),
    "ConversationId": _parameter(
        "path",
        "conversation_id",
        "The name of the conversation.",
        {"type": "string", "minLength": 1},
        required=True,
        example="chat_123",
    ),
    "ConversationLimit": _parameter(
        "query",
        "limit",
        "How many conversations to list.",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    ),
    "ConversationBefore": _parameter(
        "query",
        "before",
        "Go on with the list: the `next` of the page before.",
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?_[A-Za-z0-9._:-]{1,128}$"},
    ),
    "ExchangeLimit": _parameter(
        "query",
        "limit",
        "How many questions with their answers to show.",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    ),
    "ExchangeAfter": _parameter(
        "query", "after", "Go on with the conversation: the `next` of the page before.", {"type": "string"}
    ),
    "ExportFormat": _parameter(
        "query", "format", "In which form.", {"type": "string", "enum": ["json", "markdown"], "default": "json"}
    ),
    "AssetName": _parameter(
        "path", "name", "The name of the file.", {"type": "string", "minLength": 1}, required=True, example="main.js"
    ),
    "LogStatus": _parameter(
        "query",
        "status",
        "Runs in any of these states.",
        {"type": "array", "items": {"type": "string"}},
        explode=True,
    ),
    "LogFailed": _parameter("query", "failed", "Runs that went wrong.", {"type": "string", "enum": ["1"]}),
    "LogUser": _parameter("query", "user", "Runs of this caller, or of this persona.", _SHORT),
    "LogEndpoint": _parameter("query", "endpoint", "Runs that were asked for at this address.", _SHORT),
    "LogModel": _parameter("query", "model", "Runs that this model answered.", _SHORT),
    "LogConversation": _parameter("query", "conversation", "Runs of this conversation.", _SHORT),
    "LogSlow": _parameter("query", "slow", "Runs that took so many seconds or longer.", _SECONDS),
    "LogSearch": _parameter(
        "query",
        "search",
        "Runs that have this in the beginning of their question, or in the name of caller, persona or run. A page can"
        " be empty and yet have a next one: a search looks at some thousands of runs at a time.",
        _SHORT,
    ),
    "LogSince": _parameter("query", "since", "Runs from this moment on, in seconds since 1970.", _SECONDS),
    "LogUntil": _parameter("query", "until", "Runs before this moment, in seconds since 1970.", _SECONDS),
    "LogLimit": _parameter(
        "query", "limit", "How many runs to list.", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    ),
    "LogBefore": _parameter("query", "before", "Go on with the list: the `next` of the page before.", _SHORT),
    "OwnPage": _parameter(
        "header",
        "X-Persona-Dashboard",
        "Whatever you like: only the dashboard's own page can make a browser send it.",
        {"type": "string"},
        required=True,
    ),
    "LogName": _parameter(
        "query", "name", "Whose: the `sub` of their token.", {"type": "string", "minLength": 1}, required=True
    ),
    "IfNoneMatch": _parameter("header", "If-None-Match", "The `ETag` of the copy that you have.", {"type": "string"}),
}


def parameters(*names: str) -> list[Node]:
    """Point to parameters of the document."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


SECURITY: Node = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JSON Web Token with `sub` (the caller) and `exp`. If it has a `scope`, that must hold `chat`."
        " `persona-stream token --user NAME` prints one.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same token, where there is no `Authorization`.",
    },
    "admin": {
        "type": "apiKey",
        "in": "cookie",
        "name": "persona_stream_admin",
        "description": "A token whose scope holds `admin`, as `/dashboard/login` puts it into a cookie.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "The ticket in `events_url`, which opens that run alone: for `EventSource`, which can send no"
        f" header. An address with one looks like `{EVENTS_URL}`.",
    },
}
