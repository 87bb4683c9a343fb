"""Runs as rows of the log. Pure: what a record means for the tables is said here, and how it is written elsewhere.

Fold what happened to a run into its rows, where it begins and ends in one batch. Pure.

Most runs are short: written in one step, they take a third of the steps that an insert with its updates takes, and at
each step the thread that writes waits for the interpreter. The law: what is in the tables is the same either way.

Exchanges of a conversation as rows. Pure.

What happened to a run, and when, in few words: what a drawing of its time is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from persona_stream.core.content import replace_unencodable
from persona_stream.core.facts import (
    Accepted,
    Answered,
    Entry,
    Failed,
    ProgressReported,
    ReasoningDelta,
    Started,
    TextDelta,
    run_terms,
    text_of,
)
from persona_stream.core.i18n import error_text
from persona_stream.core.query import UpstreamCall
from persona_stream.core.snapshot import RunSnapshot, take_snapshot
from persona_stream.core.usage import Price, count_tokens, run_usage
from persona_stream.db.models import Step
from persona_stream.db.records import (
    ExchangeCompleted,
    Privacy,
    Record,
    RunAccepted,
    RunDelivered,
    RunFinished,
    RunResponded,
)
from persona_stream.db.tables import run_texts, runs

_MOST = 500  # a backend may report ten times a second


def build_steps(entries: Sequence[Entry], upstream: Sequence[UpstreamCall], *, texts: bool) -> list[Step]:
    """Give the steps of a run in their order, at most some hundreds. Parts of a text that follow each other are one."""
    steps = [*_told(entries, texts), *(_asked(each) for each in upstream)]
    steps.sort(key=lambda step: step.at)
    return steps[: _MOST - 1] + steps[-1:] if len(steps) > _MOST else steps


def _told(entries: Sequence[Entry], texts: bool) -> Iterator[Step]:
    run: Step | None = None  # parts of one text
    for entry in entries:
        fact = entry.fact
        kind = {TextDelta: "text", ReasoningDelta: "reasoned"}.get(type(fact))
        if run is not None and kind == run.kind:
            run = Step(run.at, run.kind, entry.at - run.at, characters=run.characters + len(text_of(fact)))
            continue
        if run is not None:
            yield run
            run = None
        match fact:
            case Started():
                yield Step(entry.at, "started")
            case ProgressReported(message=message, fraction=fraction):
                yield Step(entry.at, "reported", text=message if texts else "", fraction=fraction)
            case TextDelta() | ReasoningDelta():
                run = Step(entry.at, kind or "", characters=len(text_of(fact)))
            case Answered(text=text):
                yield Step(entry.at, "answered", characters=len(text))
            case Failed(code=code):
                yield Step(entry.at, "failed", text=code)
            case _:
                pass


def _asked(upstream: UpstreamCall) -> Step:
    return Step(upstream.began_at, "asked", upstream.seconds, f"{upstream.provider} {upstream.model}")


Row = dict[str, Any]

_BEGINNING = 200  # characters of a question that lists show
_LONGEST = 10_000  # characters of what is no JSON


def started_row(record: RunAccepted, privacy: Privacy) -> tuple[Row, Row]:
    """Give the rows of a run that begins: the short one, and its texts."""
    run, order = _terms(record.entry), record.order
    query, origin = order.query, order.request_info
    question = replace_unencodable(query.message) if privacy.bodies else ""
    short = {
        "run_id": run.run_id,
        "owner": replace_unencodable(run.owner),
        "username": replace_unencodable(run.username),
        "conversation_id": run.conversation_id,
        "question": question[:_BEGINNING],
        "backend": order.backend.name,
        "model": replace_unencodable(run.username) if origin.dialect != "native" else None,
        "endpoint": replace_unencodable(origin.endpoint),
        "dialect": origin.dialect,
        "style": run.style,
        "method": origin.method,
        "address": origin.address,
        "user_agent": replace_unencodable(origin.user_agent),
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
        "request_body": replace_unencodable(origin.body.decode("utf-8", "replace")) if privacy.bodies else None,
        "prompt": replace_unencodable(query.prompt) if privacy.bodies and query.prompt else None,
        "question": question or None,
    }
    return short, texts


def response_row(record: RunResponded) -> tuple[Row, Row]:
    """Give what the head of the response adds to both rows."""
    run_id = record.run_id
    return (
        {"key": run_id, "http_status": record.head.status},
        {"key": run_id, "response_headers": _json(record.head.headers)},
    )


def finished_row(record: RunFinished, privacy: Privacy, price: Price) -> tuple[Row, Row]:
    """Give what the end of a run adds to both rows."""
    summary = take_snapshot(record.entries)
    run, ending = summary.run, summary.ending
    failed = ending if isinstance(ending, Failed) else None
    usage = run_usage(record.entries) if isinstance(ending, Answered) else None
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
        "error": replace_unencodable(error_text(failed.code, failed.text, run.locale)) if failed else None,
        "steps": _json(build_steps(record.entries, record.upstream, texts=keeps)),
        "upstream": _json([_shown(each, privacy) for each in record.upstream]) if record.upstream else None,
        "raw": _json(record.raw) if record.raw is not None and not record.upstream and keeps else None,
    }
    return short, texts


def delivery_row(record: RunDelivered) -> Row:
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
    return run_terms((entry,))


def _durations(summary: RunSnapshot) -> Mapping[str, float | None]:
    ended_at, started_at = summary.ended_at, summary.started_at
    left = ended_at if started_at is None else started_at
    return {
        "waiting": None if left is None else left - summary.accepted_at,
        "processing": None if ended_at is None or started_at is None else ended_at - started_at,
        "total": None if ended_at is None else ended_at - summary.accepted_at,
    }


def _shown(upstream: UpstreamCall, privacy: Privacy) -> Mapping[str, Any]:
    """Give a try without what opens anything, and without texts where none are kept."""
    parts = urlsplit(upstream.url)
    shown = {
        "provider": upstream.provider,
        "model": upstream.model,
        "url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        "trouble": upstream.error,
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


_EMPTY: tuple[Row, Row] = (dict.fromkeys(runs.c.keys()), dict.fromkeys(run_texts.c.keys()))
# Of several readers, the one who was first in each.
_EARLIEST = (("first_event_at", "first_event"), ("first_text_at", "first_text"), ("delivered_at", "delivered"))


def merge_new_runs(
    records: Sequence[Record], privacy: Privacy, price: Price
) -> tuple[Sequence[tuple[Row, Row]], Sequence[Record]]:
    """Give the rows of the runs that begin among these records, each with all columns, and the records of others."""
    started: dict[str, tuple[Row, Row]] = {}
    for record in records:
        if isinstance(record, RunAccepted):
            short, texts = started_row(record, privacy)
            started[short["run_id"]] = ({**_EMPTY[0], **short}, {**_EMPTY[1], **texts})
    rest = [record for record in records if not isinstance(record, RunAccepted)]
    # In the order in which their statements are run.
    for kind in (RunResponded, RunFinished, RunDelivered):
        for record in rest:
            if isinstance(record, kind) and (found := started.get(_name(record))) is not None:
                _add(record, *found, privacy, price)
    return list(started.values()), [record for record in rest if _name(record) not in started]


def _name(record: Record) -> str:
    match record:
        case RunResponded(run_id=run_id) | RunDelivered(run_id=run_id):
            return run_id
        case RunFinished(entries=entries):
            return run_terms(entries).run_id
        case _:
            return ""


def _add(record: Record, short: Row, texts: Row, privacy: Privacy, price: Price) -> None:
    match record:
        case RunResponded():
            more, more_texts = response_row(record)
        case RunFinished():
            more, more_texts = finished_row(record, privacy, price)
            more["model"] = more.pop("upstream_model") or short["model"]
        case RunDelivered():
            _read(delivery_row(record), short)
            return
        case _:
            return
    for row, added in ((short, more), (texts, more_texts)):
        del added["key"]
        row.update(added)


def _read(reading: Row, short: Row) -> None:
    """Add a reader, as the statement does it for a row that is there already."""
    short["readers"] += 1
    short["resumes"] += reading["is_resume"]
    short["events"] += reading["more_events"]
    short["pieces"] += reading["more_pieces"]
    short["sent_bytes"] += reading["more_bytes"]
    for column, name in (
        ("first_event_at", "first_event"),
        ("first_text_at", "first_text"),
        ("delivered_at", "delivered"),
    ):
        moments = [moment for moment in (short[column], reading[name]) if moment is not None]
        short[column] = min(moments, default=None)
    short["ttfe"] = _between(short["accepted_at"], short["first_event_at"])
    short["ttft"] = _between(short["accepted_at"], short["first_text_at"])
    short["delivery"] = _between(short["ended_at"], short["delivered_at"])
    spoken, tokens = _between(short["first_text_at"], short["delivered_at"]), short["output_tokens"]
    short["tpot"] = None if spoken is None or tokens in (None, 1) else spoken / (tokens - 1)


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


_TITLE = 80  # characters


def exchange_rows(record: ExchangeCompleted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the rows of a conversation and of its newest exchange.

    Of an answer that was interrupted, there is the part that existed. Reasoning is kept only where there is no answer.
    """
    summary, question = take_snapshot(record.entries), replace_unencodable(record.query.message)
    run = summary.run
    key = {
        "owner": replace_unencodable(run.owner),
        "conversation_id": run.conversation_id,
        "username": replace_unencodable(run.username),
    }
    title = " ".join(question.split())[:_TITLE]
    conversation = {**key, "title": title, "created_at": summary.accepted_at, "updated_at": summary.ended_at}
    exchange = {
        **key,
        "run_id": run.run_id,
        "at": summary.accepted_at,
        "question": question,
        "answer": summary.text,
        "reasoning": None if summary.text else summary.reasoning or None,
        "is_complete": isinstance(summary.ending, Answered),
        "status": summary.status,
        "tokens": count_tokens((question, summary.text)),
    }
    return conversation, exchange
