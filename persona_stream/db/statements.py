"""Write records: many at a time, each kind in one statement. Called in a thread that may block.

The order of records is kept as far as it matters: a run begins before it is answered, read or ended, and what deletes
comes neither before nor after its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Dialect, Table, bindparam, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from persona_stream.core.usage import Price
from persona_stream.db import rows
from persona_stream.db.records import (
    DeletedConversation,
    DeletedOwner,
    ExchangeCompleted,
    Privacy,
    Record,
    RetentionSweep,
    RunDelivered,
    RunFinished,
    RunResponded,
)
from persona_stream.db.rows import exchange_rows, merge_new_runs
from persona_stream.db.tables import conversations, exchanges, run_texts, runs

R = TypeVar("R")

# A conversation that goes on keeps its title and its beginning.
_RENEWED: Mapping[Table, Sequence[str]] = {conversations: ("updated_at",)}

Write = Callable[[Connection, Sequence[Record]], None]

_DELETES = (DeletedConversation, DeletedOwner, RetentionSweep)
_AT_A_TIME = 500  # rows that one statement deletes, so that nobody waits for it long

_KEY = bindparam("key", type_=runs.c.run_id.type)
_RESPONDED = update(runs).where(runs.c.run_id == _KEY).values(http_status=bindparam("http_status"))
_RESPONDED_TEXTS = (
    update(run_texts).where(run_texts.c.run_id == _KEY).values(response_headers=bindparam("response_headers"))
)
_ENDING = (
    "status", "code", "finish", "provider", "started_at", "text_at", "ended_at", "waiting", "processing", "total",
    "characters", "input_tokens", "output_tokens", "tokens_estimated", "cost",
)  # fmt: skip
_UPDATE_FINISHED = (
    update(runs)
    .where(runs.c.run_id == _KEY)
    .values(
        **{name: bindparam(name) for name in _ENDING},
        model=func.coalesce(bindparam("upstream_model"), runs.c.model),
    )
)
_ENDED_TEXTS = (
    update(run_texts)
    .where(run_texts.c.run_id == _KEY)
    .values(**{name: bindparam(name) for name in ("answer", "reasoning", "error", "steps", "upstream", "raw")})
)


def _earlier(column: Column[float], name: str) -> Any:
    """Give the earlier of two moments, of which either may not be there."""
    other = bindparam(name, type_=column.type)
    return case((column.is_(None), other), (other < column, other), else_=column)


# Of several readers, the one who was first in each: whoever leaves first may have come late.
_first_event = _earlier(runs.c.first_event_at, "first_event")
_first_text = _earlier(runs.c.first_text_at, "first_text")
_delivered = _earlier(runs.c.delivered_at, "delivered")
_UPDATE_DELIVERY = (
    update(runs)
    .where(runs.c.run_id == _KEY)
    .values(
        readers=runs.c.readers + 1,
        resumes=runs.c.resumes + bindparam("is_resume"),
        events=runs.c.events + bindparam("more_events"),
        pieces=runs.c.pieces + bindparam("more_pieces"),
        sent_bytes=runs.c.sent_bytes + bindparam("more_bytes"),
        first_event_at=_first_event,
        first_text_at=_first_text,
        delivered_at=_delivered,
        ttfe=_first_event - runs.c.accepted_at,
        ttft=_first_text - runs.c.accepted_at,
        delivery=_delivered - runs.c.ended_at,
        tpot=(_delivered - _first_text) / func.nullif(runs.c.output_tokens - 1, 0),
    )
)


def make_writer(privacy: Privacy, price: Price) -> Write:
    """Give what writes records in one transaction."""

    def write(connection: Connection, records: Sequence[Record]) -> None:
        for deletes, group in groupby(records, lambda record: isinstance(record, _DELETES)):
            if deletes:
                for record in group:
                    _delete(connection, record)
            else:
                _write_all(connection, list(group), privacy, price)

    return write


def _write_all(connection: Connection, records: Sequence[Record], privacy: Privacy, price: Price) -> None:
    begun, records = merge_new_runs(records, privacy, price)
    _insert(connection, (runs, run_texts), begun)
    _execute(connection, (_RESPONDED, _RESPONDED_TEXTS), map(rows.response_row, _only(records, RunResponded)))
    _execute(
        connection,
        (_UPDATE_FINISHED, _ENDED_TEXTS),
        (rows.finished_row(each, privacy, price) for each in _only(records, RunFinished)),
    )
    _execute(connection, (_UPDATE_DELIVERY,), ((rows.delivery_row(each),) for each in _only(records, RunDelivered)))
    _insert(connection, (conversations, exchanges), map(exchange_rows, _only(records, ExchangeCompleted)))


def _only(records: Iterable[Record], kind: type[R]) -> Iterator[R]:
    return (record for record in records if isinstance(record, kind))


def _execute(connection: Connection, statements: Sequence[Any], made: Iterable[Sequence[rows.Row]]) -> None:
    for statement, those in zip(statements, zip(*made, strict=True), strict=False):
        connection.execute(statement, list(those))


def _insert(connection: Connection, tables: Sequence[Table], made: Iterable[Sequence[rows.Row]]) -> None:
    """Insert rows, each with all columns.

    One that is there already was written before its reply was lost, and stays, but for what is renewed.
    """
    for table, those in zip(tables, zip(*made, strict=True), strict=False):
        sql, order = _insertion(table, connection.dialect)
        connection.exec_driver_sql(sql, [tuple(row[name] for name in order) if order else row for row in those])


@lru_cache(64)  # SQLAlchemy would look at each value of each row; what is inserted here needs no putting right
def _insertion(table: Table, dialect: Dialect) -> tuple[str, Sequence[str]]:
    """Give the statement that inserts into a table, and the order of its values, where they have no names."""
    kind: Any = postgresql if dialect.name == "postgresql" else sqlite
    statement = kind.insert(table)
    if names := _RENEWED.get(table):
        new = {name: statement.excluded[name] for name in names}
        statement = statement.on_conflict_do_update(index_elements=table.primary_key.columns, set_=new)
    else:
        statement = statement.on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=table.columns.keys())
    return compiled.string, compiled.positiontup or ()


def _delete(connection: Connection, record: Record) -> None:
    match record:
        case DeletedConversation(owner=owner, conversation_id=conversation_id):
            for table in (exchanges, conversations):
                mine = (table.c.owner == owner) & (table.c.conversation_id == conversation_id)
                connection.execute(delete(table).where(mine))
        case DeletedOwner(owner=owner):
            theirs = select(runs.c.run_id).where(runs.c.owner == owner)
            connection.execute(delete(run_texts).where(run_texts.c.run_id.in_(theirs)))
            for table in (runs, exchanges, conversations):
                connection.execute(delete(table).where(table.c.owner == owner))
        case RetentionSweep(before=before, over_before=over_before):
            old = select(runs.c.run_id).where(runs.c.run_id < before).limit(_AT_A_TIME)
            while names := connection.scalars(old).all():
                for table in (run_texts, runs):
                    connection.execute(delete(table).where(table.c.run_id.in_(names)))
            left = (runs.c.status == "processing") & (runs.c.run_id < over_before)
            connection.execute(update(runs).where(left).values(status="error", code="lost"))
        case _:
            pass
