"""Runs as rows of the log. Pure: what a record means for the tables is said here, and how it is written elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from persona_stream.core import i18n as messages
from persona_stream.core.content import clean
from persona_stream.core.facts import Accepted, Answered, Entry, Failed, terms
from persona_stream.core.query import Upstream
from persona_stream.core.snapshot import Summary, summarize
from persona_stream.core.usage import Price, usage_of
from persona_stream.store.records import RunBegan, RunEnded, RunRead, RunResponded
from persona_stream.store.steps import steps_of

Row = dict[str, Any]

_BEGINNING = 200  # characters of a question that lists show
_LONGEST = 10_000  # characters of what is no JSON


class Privacy(Struct, frozen=True):
    """Say what of a request's texts the log may keep."""

    bodies: bool = True
    reasoning: bool = True


def begun(record: RunBegan, privacy: Privacy) -> tuple[Row, Row]:
    """Give the rows of a run that begins: the short one, and its texts."""
    run, order = _terms(record.entry), record.order
    query, origin = order.query, order.origin
    question = clean(query.message) if privacy.bodies else ""
    short = {
        "run_id": run.run_id,
        "owner": clean(run.owner),
        "username": clean(run.username),
        "conversation_id": run.conversation_id,
        "question": question[:_BEGINNING],
        "backend": order.backend.name,
        "model": clean(run.username) if origin.dialect != "native" else None,
        "endpoint": clean(origin.endpoint),
        "dialect": origin.dialect,
        "style": run.style,
        "method": origin.method,
        "address": origin.address,
        "user_agent": clean(origin.user_agent),
        "status": "processing",
        "accepted_at": record.entry.at,
        "readers": 0,
        "resumes": 0,
        "events": 0,
        "pieces": 0,
        "sent_bytes": 0,
    }
    texts = {
        "run_id": run.run_id,
        "request_headers": _json(origin.headers),
        "request_body": clean(origin.body.decode("utf-8", "replace")) if privacy.bodies else None,
        "prompt": clean(query.prompt) if privacy.bodies and query.prompt else None,
        "question": question or None,
    }
    return short, texts


def responded(record: RunResponded) -> tuple[Row, Row]:
    """Give what the head of the response adds to both rows."""
    run_id = record.run_id
    return (
        {"key": run_id, "http_status": record.head.status},
        {"key": run_id, "response_headers": _json(record.head.headers)},
    )


def ended(record: RunEnded, privacy: Privacy, price: Price) -> tuple[Row, Row]:
    """Give what the end of a run adds to both rows."""
    summary = summarize(record.entries)
    run, ending = summary.run, summary.ending
    failed = ending if isinstance(ending, Failed) else None
    usage = usage_of(record.entries) if isinstance(ending, Answered) else None
    last = record.upstream[-1] if record.upstream else None
    short = {
        "key": run.run_id,
        "status": summary.status,
        "code": failed.code if failed else None,
        "finish": ending.finish if isinstance(ending, Answered) else None,
        "provider": last.provider if last else None,
        "upstream_model": last.model if last else None,
        "started_at": summary.started_at,
        "text_at": summary.text_at,
        "ended_at": summary.ended_at,
        "characters": len(summary.text),
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "tokens_estimated": usage.estimated if usage else None,
        "cost": price(last.provider, last.model, usage, summary.accepted_at) if usage and last else None,
        **_durations(summary),
    }
    keeps = privacy.bodies
    texts = {
        "key": run.run_id,
        "answer": summary.text if keeps else None,
        "reasoning": (summary.reasoning or None) if keeps and privacy.reasoning else None,
        "error": clean(messages.failure(failed.code, failed.text, run.locale)) if failed else None,
        "steps": _json(steps_of(record.entries, record.upstream, texts=keeps)),
        "upstream": _json([_shown(each, privacy) for each in record.upstream]) if record.upstream else None,
        "raw": _json(record.raw) if record.raw is not None and not record.upstream and keeps else None,
    }
    return short, texts


def read(record: RunRead) -> Row:
    """Give what a reader adds to the row of a run. Of several, the first one's moments count."""
    reading = record.reading
    return {
        "key": record.run_id,
        "is_resume": int(reading.resumed),
        "more_events": reading.events,
        "more_pieces": reading.pieces,
        "more_bytes": reading.sent_bytes,
        "first_event": reading.first_event_at,
        "first_text": reading.first_text_at,
        "delivered": reading.last_at if reading.is_whole else None,
    }


def _terms(entry: Entry) -> Accepted:
    return terms((entry,))


def _durations(summary: Summary) -> Mapping[str, float | None]:
    ended_at, started_at = summary.ended_at, summary.started_at
    left = ended_at if started_at is None else started_at
    return {
        "waiting": None if left is None else left - summary.accepted_at,
        "processing": None if ended_at is None or started_at is None else ended_at - started_at,
        "total": None if ended_at is None else ended_at - summary.accepted_at,
    }


def _shown(upstream: Upstream, privacy: Privacy) -> Mapping[str, Any]:
    """Give a try without what opens anything, and without texts where none are kept."""
    parts = urlsplit(upstream.url)
    shown = {
        "provider": upstream.provider,
        "model": upstream.model,
        "url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        "trouble": upstream.trouble,
        "began_at": upstream.began_at,
        "seconds": upstream.seconds,
    }
    if privacy.bodies:
        shown |= {"request": upstream.request, "response": upstream.response if privacy.reasoning else None}
    return shown


def _json(value: object) -> str | None:
    """Write a value of whatever kind; of one that is no JSON, what it looks like."""
    try:
        written = msgspec.json.encode(value, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):
        written = msgspec.json.encode(repr(value)[:_LONGEST].encode("utf-8", "replace").decode())
    # NUL is written as an escape, which PostgreSQL takes in a text and not as a character: so it stays.
    return written.decode()
