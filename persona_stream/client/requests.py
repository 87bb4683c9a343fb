"""HTTP requests of the client as values, without server and token."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from persona_stream.client.models import PATHS, Question

EVENT_STREAM = "text/event-stream"
JSON = "application/json"
READ_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request; ``read_timeout`` is in seconds without a byte."""

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


def build_cancel(run_id: str, *, locale: str) -> Request:
    """Build the POST that cancels a run."""
    return Request("POST", f"{_path(run_id)}/cancel", _headers(JSON, locale))


def _headers(accept: str, locale: str) -> dict[str, str | bytes]:
    return {"Accept": accept, "Accept-Language": locale}


def _path(run_id: str) -> str:
    # The id comes from a server; quoted, it cannot lead to another path.
    return f"/api/runs/{quote(run_id, safe='')}"
