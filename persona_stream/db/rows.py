"""Conversion of records to rows of the log and of conversations. Pure.

Most runs are short: their records arrive in one batch and are merged into whole rows, since each further statement
costs the writer thread another wait for the interpreter lock.

Invariants:
    * The tables hold the same values, however the records are divided into batches.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from persona_stream.chunking.chunkers import characters, sentences
from persona_stream.core import facts, i18n
from persona_stream.core.content import replace_unencodable
from persona_stream.core.query import InputRequest, Query, UpstreamCall, message_with_notes
from persona_stream.core.snapshot import RunSnapshot, take_snapshot
from persona_stream.core.usage import Price, count_tokens, run_usage
from persona_stream.db import base, models

Row = dict[str, Any]

MAX_STEPS = 500  # a backend may report ten times a second
QUESTION_PREFIX_LENGTH = 200  # characters of a question in lists
TITLE_LENGTH = 80  # characters
MAX_SUMMARY_LENGTH = 500  # characters of reasoning
MAX_CALL_LENGTH = 2000  # characters of a tool call among the steps
MAX_REPR_LENGTH = 10_000  # characters of a value that has no JSON form

# Content in a data URL, and in the fields of Anthropic's and OpenAI's protocols that have base64 alone.
_CONTENT = re.compile(
    r"""(data:[\w.+-]+\\?/[\w.+-]+(?:;[\w=.+-]+)*;base64,|"data":\s*")([A-Za-z0-9+/\\]{16,}={0,2})(?=")""", re.ASCII
)

_EMPTY_RUN = {column.name: None if column.is_optional else 0 for column in models.RUN_COLUMNS}
_EMPTY_TEXTS = {column.name: None for column in models.TEXT_COLUMNS}

_DELIVERED = [column for column in models.RUN_COLUMNS if column.stage == "delivered"]
_COUNTERS = [column.name for column in _DELIVERED if column.kind in ("count", "bytes")]
_FIRST_MOMENTS = [column.name for column in _DELIVERED if column.kind == "moment"]
_INTERVALS = {
    "ttfe": ("accepted_at", "first_event_at"),
    "ttft": ("accepted_at", "first_text_at"),
    "delivery": ("ended_at", "delivered_at"),
}


def started_row(record: base.RunAccepted, privacy: base.Privacy) -> tuple[Row, Row]:
    """Return the rows of a run that starts: the summary, and its texts."""
    run = facts.run_terms((record.entry,))
    query = record.run_request.query
    request_info = record.run_request.request_info
    question = replace_unencodable(query.message) if privacy.bodies else ""
    summary = {
        **_EMPTY_RUN,
        "run_id": run.run_id,
        "owner": replace_unencodable(run.owner),
        "username": replace_unencodable(run.username),
        "conversation_id": run.conversation_id,
        "question": question[:QUESTION_PREFIX_LENGTH],
        "backend": record.run_request.backend.name,
        "model": replace_unencodable(run.username) if request_info.protocol != "native" else None,
        "endpoint": replace_unencodable(request_info.endpoint),
        "dialect": request_info.protocol,
        "style": run.style,
        "method": request_info.method,
        "address": request_info.address,
        "user_agent": replace_unencodable(request_info.user_agent),
        "status": "processing",
        "accepted_at": record.entry.at,
    }
    texts = {
        **_EMPTY_TEXTS,
        "run_id": run.run_id,
        "request_headers": _to_json(request_info.headers),
        "request_body": _body_text(request_info.body) if privacy.bodies else None,
        "prompt": replace_unencodable(query.prompt) if privacy.bodies and query.prompt else None,
        "question": question or None,
        "attachments": _to_json(_logged_attachments(query, privacy)) if query.attachments else None,
    }
    return summary, texts


def _logged_attachments(query: Query, privacy: base.Privacy) -> list[models.LoggedAttachment]:
    return [
        models.LoggedAttachment(each.type, each.name if privacy.bodies else None, each.size)
        for each in query.attachments
    ]


def _body_text(body: bytes) -> str:
    return without_attachments(replace_unencodable(body.decode("utf-8", "replace")))


def without_attachments(text: str) -> str:
    """Return JSON text with the size of each base64 content in its place, such as ``data:image/png;base64,(70 B)``."""
    if "base64" not in text and "input_audio" not in text:
        return text
    return _CONTENT.sub(lambda found: f"{found[1]}({len(found[2].rstrip('=')) * 3 // 4} B)", text)


def response_row(record: base.RunResponded) -> tuple[Row, Row]:
    """Return the columns that the response head adds to both rows."""
    return (
        {"key": record.run_id, "http_status": record.response.status},
        {"key": record.run_id, "response_headers": _to_json(record.response.headers)},
    )


def finished_row(record: base.RunFinished, privacy: base.Privacy, price: Price) -> tuple[Row, Row]:
    """Return the columns that the end of a run adds to both rows."""
    snapshot = take_snapshot(record.entries)
    run = snapshot.run
    ending = snapshot.ending
    failed = ending if isinstance(ending, facts.Failed) else None
    answered = ending if isinstance(ending, facts.Answered) else None
    # A cached answer has used no tokens.
    usage = run_usage(record.entries) if answered and not answered.cached else None
    call = record.upstream[-1] if record.upstream else None
    summary = {
        "key": run.run_id,
        "status": snapshot.status,
        "code": failed.code if failed else None,
        "finish": answered.finish if answered else None,
        "cached": answered.cached if answered else False,
        "provider": call.provider if call else None,
        "upstream_model": call.model if call else None,
        "started_at": snapshot.started_at,
        "text_at": snapshot.text_at,
        "ended_at": snapshot.ended_at,
        "characters": len(snapshot.text),
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "tokens_estimated": usage.estimated if usage else None,
        "cost": price(call.provider, call.model, usage, snapshot.accepted_at) if usage and call else None,
        **_durations(snapshot),
    }
    has_bodies = privacy.bodies
    attempts = [_attempt(call, privacy) for call in record.upstream]
    texts = {
        "key": run.run_id,
        "answer": snapshot.text if has_bodies else None,
        "reasoning": (snapshot.reasoning or None) if has_bodies and privacy.reasoning else None,
        "error": replace_unencodable(i18n.error_text(failed.code, failed.text, run.locale)) if failed else None,
        "steps": _to_json(build_steps(record.entries, record.upstream, texts=has_bodies)),
        "upstream": without_attachments(_to_json(attempts)) if attempts else None,
        "raw": _to_json(record.raw) if record.raw is not None and not attempts and has_bodies else None,
    }
    return summary, texts


def delivery_row(record: base.RunDelivered) -> Row:
    """Return the values that a closed subscription contributes to the row of its run; see ``delivered_values``."""
    subscription = record.subscription
    return {
        "key": record.run_id,
        "readers": 1,
        "resumes": int(subscription.resumed),
        "events": subscription.events,
        "pieces": subscription.chunks,
        "sent_bytes": subscription.sent_bytes,
        "first_event_at": subscription.first_event_at,
        "first_text_at": subscription.first_text_at,
        "delivered_at": subscription.last_at if subscription.is_whole else None,
    }


def delivered_values(
    row: Mapping[str, Any],
    delivery: Mapping[str, Any],
    *,
    earliest: Callable[[Any, Any], Any],
    later: Callable[[Any, Any], Any],
    subtract: Callable[[Any, Any], Any],
    divide: Callable[[Any, Any], Any],
) -> Row:
    """Return the columns of a run that change when a subscription closes, as values or as SQL expressions.

    The operators decide which. Each must propagate a missing value, except ``earliest``, which ignores it; ``later``
    ignores a missing second operand.
    """
    values = {name: row[name] + delivery[name] for name in _COUNTERS}
    values |= {name: earliest(row[name], delivery[name]) for name in _FIRST_MOMENTS}
    current = {**row, **values}
    values |= {name: subtract(current[end], current[begin]) for name, (begin, end) in _INTERVALS.items()}
    # As long as a subscriber waited: no time to the first text exceeds it.
    last_at = later(later(current["ended_at"], current["first_text_at"]), current["delivered_at"])
    values["total"] = subtract(last_at, current["accepted_at"])
    text_seconds = subtract(current["delivered_at"], current["first_text_at"])
    values["tpot"] = divide(text_seconds, subtract(current["output_tokens"], 1))
    return values


def merge_new_runs(
    records: Sequence[base.Record], privacy: base.Privacy, price: Price
) -> tuple[Sequence[tuple[Row, Row]], Sequence[base.Record]]:
    """Return the complete rows of the runs that start among these records, and the records of other runs."""
    started: dict[str, tuple[Row, Row]] = {}
    for record in records:
        if isinstance(record, base.RunAccepted):
            summary, texts = started_row(record, privacy)
            started[summary["run_id"]] = summary, texts
    rest = [record for record in records if not isinstance(record, base.RunAccepted)]
    # In the order in which the statements for other runs are executed.
    for kind in (base.RunResponded, base.RunFinished, base.RunDelivered):
        for record in rest:
            if isinstance(record, kind) and (rows := started.get(_run_id(record))) is not None:
                _merge(record, *rows, privacy=privacy, price=price)
    return list(started.values()), [record for record in rest if _run_id(record) not in started]


def _run_id(record: base.Record) -> str:
    match record:
        case base.RunResponded(run_id=run_id) | base.RunDelivered(run_id=run_id):
            return run_id
        case base.RunFinished(entries=entries):
            return facts.run_terms(entries).run_id
    return ""


_Update = base.RunResponded | base.RunFinished | base.RunDelivered


def _merge(record: _Update, summary: Row, texts: Row, *, privacy: base.Privacy, price: Price) -> None:
    if isinstance(record, base.RunDelivered):
        delivery = delivery_row(record)
        summary |= delivered_values(
            summary, delivery, earliest=_earliest, later=_later, subtract=_subtract, divide=_divide
        )
        return
    rows = response_row(record) if isinstance(record, base.RunResponded) else finished_row(record, privacy, price)
    upstream_model = rows[0].pop("upstream_model", None)
    for row, added in zip((summary, texts), rows, strict=True):
        del added["key"]
        row.update(added)
    summary["model"] = upstream_model or summary["model"]


def _earliest(one: float | None, other: float | None) -> float | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _later(one: float | None, other: float | None) -> float | None:
    return one if one is None or other is None else max(one, other)


def _subtract(minuend: float | None, subtrahend: float | None) -> float | None:
    return None if minuend is None or subtrahend is None else minuend - subtrahend


def _divide(dividend: float | None, divisor: float | None) -> float | None:
    return None if dividend is None or not divisor else dividend / divisor


def _durations(snapshot: RunSnapshot) -> Mapping[str, float | None]:
    left_queue_at = snapshot.ended_at if snapshot.started_at is None else snapshot.started_at
    return {
        "waiting": _subtract(left_queue_at, snapshot.accepted_at),
        "processing": _subtract(snapshot.ended_at, snapshot.started_at),
        "total": _subtract(snapshot.ended_at, snapshot.accepted_at),
    }


def _attempt(call: UpstreamCall, privacy: base.Privacy) -> models.UpstreamAttempt:
    """Return a call without credentials in its URL, and without texts that the log may not keep."""
    parts = urlsplit(call.url)
    return models.UpstreamAttempt(
        provider=call.provider,
        model=call.model,
        url=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        trouble=call.error,
        began_at=call.began_at,
        seconds=call.seconds,
        request=call.request if privacy.bodies else None,
        response=call.response if privacy.bodies and privacy.reasoning else None,
    )


def build_steps(entries: Sequence[facts.Entry], upstream: Sequence[UpstreamCall], *, texts: bool) -> list[models.Step]:
    """Return the steps of a run in order, at most ``MAX_STEPS``. Consecutive parts of a text form one step."""
    calls = (models.Step(each.began_at, "asked", each.seconds, f"{each.provider} {each.model}") for each in upstream)
    steps = sorted([*_fact_steps(entries, texts), *calls], key=lambda step: step.at)
    return steps[: MAX_STEPS - 1] + steps[-1:] if len(steps) > MAX_STEPS else steps


def _fact_steps(entries: Sequence[facts.Entry], texts: bool) -> Iterator[models.Step]:
    text_step: models.Step | None = None  # the consecutive parts of one text so far
    for entry in entries:
        fact = entry.fact
        kind = {facts.AnswerDelta: "text", facts.ReasoningDelta: "reasoned"}.get(type(fact))
        if text_step is not None and kind == text_step.kind:
            length = text_step.characters + len(facts.text_of(fact))
            text_step = models.Step(text_step.at, text_step.kind, seconds=entry.at - text_step.at, characters=length)
            continue
        if text_step is not None:
            yield text_step
            text_step = None
        match fact:
            case facts.Started():
                yield models.Step(entry.at, "started")
            case facts.ProgressReported(message=message, fraction=fraction):
                yield models.Step(entry.at, "reported", text=message if texts else "", fraction=fraction)
            case facts.InputRequested(request=request):
                yield _input_step(entries, entry.at, request, texts=texts)
            case facts.AnswerDelta() | facts.ReasoningDelta():
                text_step = models.Step(entry.at, kind or "", characters=len(facts.text_of(fact)))
            case facts.Answered(text=text, calls=calls):
                for call in calls:
                    called = replace_unencodable(f"{call.name} {call.arguments}"[:MAX_CALL_LENGTH])
                    yield models.Step(entry.at, "called", text=called if texts else "")
                yield models.Step(entry.at, "answered", characters=len(text))
            case facts.Failed(code=code):
                yield models.Step(entry.at, "failed", text=code)


def _input_step(entries: Sequence[facts.Entry], at: float, request: InputRequest, *, texts: bool) -> models.Step:
    """Return a question to the user with its answer, if there was one, and the time until then."""
    closed = facts.closed_input(entries, request.input_id)
    open_until = at if request.is_refused else entries[-1].at
    closed_at = next((entry.at for entry in entries if entry.fact is closed), open_until)
    answer = "" if closed is None or closed.value is None else f" → {closed.value}"
    return models.Step(at, "input", closed_at - at, f"{request.question}{answer}" if texts else "")


def exchange_rows(record: base.ExchangeCompleted, privacy: base.Privacy) -> tuple[Row, Row]:
    """Return the rows of a conversation and of its newest exchange.

    An interrupted answer is kept as far as it was produced. Reasoning is kept whole for an exchange without an answer,
    and beside an answer as the settings say.
    """
    snapshot = take_snapshot(record.entries)
    reasoning = snapshot.reasoning
    if snapshot.text and privacy.history_reasoning != "full":
        reasoning = first_sentences(reasoning) if privacy.history_reasoning == "summary" else ""
    question = replace_unencodable(message_with_notes(record.query))
    run = snapshot.run
    names = {"owner": replace_unencodable(run.owner), "username": replace_unencodable(run.username)}
    key = {**names, "conversation_id": run.conversation_id}
    title = " ".join(question.split())[:TITLE_LENGTH]
    conversation = {**key, "title": title, "created_at": snapshot.accepted_at, "updated_at": snapshot.ended_at}
    exchange = {
        **key,
        "run_id": run.run_id,
        "at": snapshot.accepted_at,
        "question": question,
        "answer": snapshot.text,
        "reasoning": reasoning or None,
        "is_complete": isinstance(snapshot.ending, facts.Answered),
        "status": snapshot.status,
        "tokens": count_tokens((question, snapshot.text, reasoning if snapshot.text else "")),
    }
    return conversation, exchange


def first_sentences(text: str, limit: int = MAX_SUMMARY_LENGTH) -> str:
    """Return the first sentences of a text, at most ``limit`` characters; part of the first one if it is longer."""
    if len(text) <= limit:
        return text
    beginning = text[: 2 * limit]
    kept = ""
    for sentence in sentences(beginning):
        if len(kept) + len(sentence) > limit:
            break
        kept += sentence
    return kept.rstrip() or characters(beginning, limit)[0]


def _to_json(value: object) -> str:
    """Encode a value of any type as JSON; a value without a JSON form as its ``repr``."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):
        encoded = msgspec.json.encode(repr(value)[:MAX_REPR_LENGTH].encode("utf-8", "replace").decode())
    # NUL is encoded as an escape, which PostgreSQL accepts in a text.
    return encoded.decode()
