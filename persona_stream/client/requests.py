"""The requests that the client makes, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from persona_stream.client.models import Question

EVENTS = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """Hold a request, without server and token.

    Attributes:
        silence: after how many seconds without a byte the connection counts as broken; ``None``: never.
    """

    method: Literal["GET", "POST"]
    path: str
    headers: dict[str, str | bytes] = field(default_factory=dict)
    body: bytes | None = None
    silence: float | None = 20.0


def ask(question: Question, *, idempotency_key: str, silence: float | None) -> Request:
    """Start the run, or join it: the same key never starts a second one."""
    return Request(
        "POST",
        question.path,
        {
            "Accept": EVENTS if question.streams else JSON,
            "Accept-Language": question.locale,
            "Content-Type": JSON,
            "Idempotency-Key": idempotency_key,
            "X-Persona-Resume": "1",
        },
        json.dumps(question.fields()).encode(),
        silence,
    )


def resume(run_id: str, last_event_id: str, *, locale: str, silence: float) -> Request:
    """Go on reading where the last event left off; from the beginning when there was none."""
    headers: dict[str, str | bytes] = {"Accept": EVENTS, "Accept-Language": locale, "X-Persona-Resume": "1"}
    if last_event_id:
        # The standard sends it as UTF-8; a str would be sent as Latin-1, or not at all.
        headers["Last-Event-ID"] = last_event_id.encode()
    return Request("GET", f"{_run(run_id)}/events", headers, None, silence)


def look(run_id: str, *, locale: str) -> Request:
    """Ask how a run stands."""
    return Request("GET", _run(run_id), {"Accept": JSON, "Accept-Language": locale})


def cancel(run_id: str, *, locale: str) -> Request:
    """Stop a run."""
    return Request("POST", f"{_run(run_id)}/cancel", {"Accept": JSON, "Accept-Language": locale})


def _run(run_id: str) -> str:
    # The id came from a server: quoted, it can point nowhere else.
    return f"/api/runs/{quote(run_id, safe='')}"
