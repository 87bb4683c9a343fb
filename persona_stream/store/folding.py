"""Fold what happened to a run into its rows, where it begins and ends in one batch. Pure.

Most runs are short: written in one step, they take a third of the steps that an insert with its updates takes, and at
each step the thread that writes waits for the interpreter. The law: what is in the tables is the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence

from persona_stream.core.facts import terms
from persona_stream.core.usage import Price
from persona_stream.store import rows
from persona_stream.store.records import Record, RunBegan, RunEnded, RunRead, RunResponded
from persona_stream.store.tables import run_texts, runs

_EMPTY: tuple[rows.Row, rows.Row] = (dict.fromkeys(runs.c.keys()), dict.fromkeys(run_texts.c.keys()))
# Of several readers, the one who was first in each.
_EARLIEST = (("first_event_at", "first_event"), ("first_text_at", "first_text"), ("delivered_at", "delivered"))


def fold(
    records: Sequence[Record], privacy: rows.Privacy, price: Price
) -> tuple[Sequence[tuple[rows.Row, rows.Row]], Sequence[Record]]:
    """Give the rows of the runs that begin among these records, each with all columns, and the records of others."""
    begun: dict[str, tuple[rows.Row, rows.Row]] = {}
    for record in records:
        if isinstance(record, RunBegan):
            short, texts = rows.begun(record, privacy)
            begun[short["run_id"]] = ({**_EMPTY[0], **short}, {**_EMPTY[1], **texts})
    rest = [record for record in records if not isinstance(record, RunBegan)]
    # In the order in which their statements are run.
    for kind in (RunResponded, RunEnded, RunRead):
        for record in rest:
            if isinstance(record, kind) and (found := begun.get(_name(record))) is not None:
                _add(record, *found, privacy, price)
    return list(begun.values()), [record for record in rest if _name(record) not in begun]


def _name(record: Record) -> str:
    match record:
        case RunResponded(run_id=run_id) | RunRead(run_id=run_id):
            return run_id
        case RunEnded(entries=entries):
            return terms(entries).run_id
        case _:
            return ""


def _add(record: Record, short: rows.Row, texts: rows.Row, privacy: rows.Privacy, price: Price) -> None:
    match record:
        case RunResponded():
            more, more_texts = rows.responded(record)
        case RunEnded():
            more, more_texts = rows.ended(record, privacy, price)
            more["model"] = more.pop("upstream_model") or short["model"]
        case RunRead():
            _read(rows.read(record), short)
            return
        case _:
            return
    for row, added in ((short, more), (texts, more_texts)):
        del added["key"]
        row.update(added)


def _read(reading: rows.Row, short: rows.Row) -> None:
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
