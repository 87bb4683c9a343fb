"""Values of the client: the question, the server, HTTP requests, a reply and exit codes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from persona_stream.core.content import Attachment

EVENT_STREAM = "text/event-stream"
JSON = "application/json"
READ_TIMEOUT = 20.0  # seconds

EndpointName = Literal["smart", "advanced", "basic", "chat"]

PATHS: dict[EndpointName, str] = {
    "smart": "/api/stream_chat_smart",
    "advanced": "/api/stream_chat_advanced",
    "basic": "/api/stream_chat",
    "chat": "/api/chat",
}


class InvalidArgument(ValueError):
    """Argument that cannot be sent, with the key of its text in ``texts.MESSAGES`` and the fields of that text."""

    def __init__(self, key: str, **values: str) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Request to one endpoint. Fields that are ``None`` are not sent.

    Raises ``InvalidArgument`` for a text with lone surrogates, Python's form of bytes that are not UTF-8.
    """

    message: str
    username: str | None = None
    endpoint: EndpointName = "smart"
    prompt: str | None = None
    prompt_mode: Literal["append", "replace"] | None = None
    conversation_id: str | None = None
    chunking: Literal["characters", "words", "sentences"] | None = None
    locale: Literal["zh", "en"] = "zh"
    reasoning: bool = False
    attachments: tuple[Attachment, ...] = ()

    def __post_init__(self) -> None:
        for name in ("username", "message", "prompt", "conversation_id"):
            if any("\ud800" <= character <= "\udfff" for character in getattr(self, name) or ""):
                raise InvalidArgument("not_unicode", field=name)

    @property
    def streams(self) -> bool:
        """Return whether the endpoint answers with an event stream."""
        return self.endpoint != "chat"

    def body(self) -> dict[str, object]:
        """Return the JSON object of the request."""
        names = ("username", "message", "locale", "prompt", "prompt_mode", "conversation_id", "chunking")
        sent = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.attachments:
            sent["attachments"] = [_attachment_fields(attachment) for attachment in self.attachments]
        return {**sent, "reasoning": True} if self.reasoning else sent


def _attachment_fields(attachment: Attachment) -> dict[str, str]:
    name = {} if attachment.name is None else {"name": attachment.name}
    return {"type": attachment.type, "url": attachment.url, **name}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Base URL of a server, such as ``https://example.org/prefix``, and a bearer token.

    Raises:
        InvalidArgument: the URL is not http or https, or has no host; or the token is empty or has characters that a
            header cannot carry.
    """

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or not self.url.isprintable() or " " in self.url or parts.query or parts.fragment:
            raise InvalidArgument("invalid_url", url=self.url)
        # A pasted token often ends with a newline.
        object.__setattr__(self, "token", self.token.strip())
        if not self.token or not all("!" <= character <= "~" for character in self.token):
            raise InvalidArgument("token_malformed")

    def url_for(self, path: str) -> str:
        """Return the URL of a path on this server."""
        return self.url.rstrip("/") + path


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request, without server and token; ``read_timeout`` is in seconds without a byte."""

    method: Literal["GET", "POST"]
    path: str
    headers: dict[str, str | bytes] = field(default_factory=dict)
    body: bytes | None = None
    read_timeout: float | None = READ_TIMEOUT


def build_start(question: Question, idempotency_key: str) -> Request:
    """Build the POST that starts a run, or joins the run that an earlier POST with the same key started."""
    headers = _headers(EVENT_STREAM if question.streams else JSON, question.locale)
    headers |= {"Content-Type": JSON, "Idempotency-Key": idempotency_key, "X-Persona-Resume": "1"}
    body = json.dumps(question.body()).encode()
    # /api/chat sends nothing before the run ends.
    return Request("POST", PATHS[question.endpoint], headers, body, READ_TIMEOUT if question.streams else None)


def build_resume(run_id: str, last_event_id: str, *, locale: str) -> Request:
    """Build the GET of a run's events after ``last_event_id``; from the first one if it is empty."""
    headers = _headers(EVENT_STREAM, locale) | {"X-Persona-Resume": "1"}
    if last_event_id:
        # The standard encodes it as UTF-8; requests would encode a str as Latin-1.
        headers["Last-Event-ID"] = last_event_id.encode()
    return Request("GET", f"{_path(run_id)}/events", headers)


def build_fetch(run_id: str, *, locale: str) -> Request:
    """Build the GET of a run's state and result."""
    return Request("GET", _path(run_id), _headers(JSON, locale))


def build_input(run_id: str, input_id: str, value: str, idempotency_key: str, *, locale: str) -> Request:
    """Build the POST that answers a question of a run."""
    headers = _headers(JSON, locale) | {"Content-Type": JSON, "Idempotency-Key": idempotency_key}
    body = json.dumps({"input_id": input_id, "value": value}).encode()
    return Request("POST", f"{_path(run_id)}/input", headers, body)


def build_cancel(run_id: str, *, locale: str) -> Request:
    """Build the POST that cancels a run."""
    return Request("POST", f"{_path(run_id)}/cancel", _headers(JSON, locale))


def _headers(accept: str, locale: str) -> dict[str, str | bytes]:
    return {"Accept": accept, "Accept-Language": locale}


def _path(run_id: str) -> str:
    # The id comes from a server; quoted, it cannot lead to another path.
    return f"/api/runs/{quote(run_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Reply:
    """Event of a stream, or the JSON object that replaces the stream.

    Fields are named as on the wire. A field that is missing or has another type is empty, or ``None`` for a number.
    Times are in seconds, ``progress`` in percent. ``payload`` is the JSON object as received.
    """

    payload: Mapping[str, object]
    status: str = ""
    data: str = ""
    reasoning: str = ""
    message: str = ""
    code: str = ""
    error: str = ""
    run_id: str = ""
    conversation_id: str = ""
    input_id: str = ""
    is_complete: bool = False
    progress: float | None = None
    elapsed_time: float | None = None
    total_processing_time: float | None = None
    total_time: float | None = None
    eta: float | None = None
    deadline: float | None = None
    position: float | None = None
    expires_in: float | None = None


def parse_json(data: str | bytes) -> Reply | None:
    """Parse a JSON object; return ``None`` if the data is anything else."""
    try:
        payload = json.loads(data, parse_constant=lambda name: None, parse_float=_parse_finite)
    except (ValueError, RecursionError):
        return None
    return parse_reply(payload) if isinstance(payload, dict) else None


def parse_reply(payload: Mapping[str, object]) -> Reply:
    """Return the reply that a JSON object stands for."""
    known: dict[str, Any] = {}
    for name, default in ((each.name, each.default) for each in fields(Reply)[1:]):
        value = payload.get(name)
        if default is not None:
            known[name] = value if isinstance(value, type(default)) else default
        # Compare first: NaN is in no range, and a huge integer has no float.
        elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            known[name] = float(value)
    return Reply(payload, **known)


def _parse_finite(number: str) -> float | None:
    # Python would write 1e400 back as "Infinity", which is not JSON.
    value = float(number)
    return value if math.isfinite(value) else None


class ExitCode(IntEnum):
    """Outcome of a question; the value is the exit code of the process."""

    ANSWERED = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    REFUSED = 4
    CANCELLED = 130
