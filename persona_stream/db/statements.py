"""SQL statements that write records: many records at a time, each kind in one statement.

They are executed in a thread that may block.

Invariants:
    * Within a batch a run is inserted before its response, its end and its deliveries are written.
    * A deletion is executed exactly in its place among the other records.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, Update, bindparam, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from persona_stream.core.usage import Price
from persona_stream.db import base, models, rows
from persona_stream.db.tables import conversations, exchanges, run_texts, runs

R = TypeVar("R")

Write = Callable[[Connection, Sequence[base.Record]], None]

# A conversation that continues keeps its title and its creation time.
_UPDATED_ON_CONFLICT: Mapping[Table, Sequence[str]] = {conversations: ("updated_at",)}
MAX_DELETED_ROWS = 500  # rows of one DELETE, so that other connections do not wait long for its locks


def update_stage(table: Table, columns: Sequence[models.LogColumn], stage: models.Stage, **values: Any) -> Update:
    """Create the UPDATE of the columns that a stage writes, for the run whose id is bound to ``key``."""
    names = [column.name for column in columns if column.stage == stage]
    key = bindparam("key", type_=table.c.run_id.type)
    return update(table).where(table.c.run_id == key).values({name: bindparam(name) for name in names} | values)


def _earliest(column: Any, added: Any) -> Any:
    return case((column.is_(None), added), (added < column, added), else_=column)


def _divide(dividend: Any, divisor: Any) -> Any:
    return dividend / func.nullif(divisor, 0)


def _later(one: Any, other: Any) -> Any:
    return case((other > one, other), else_=one)


def _update_delivered() -> Update:
    added = {column.name: bindparam(column.name, type_=column.type) for column in runs.c}
    columns = dict(runs.c.items())
    values = rows.delivered_values(
        columns, added, earliest=_earliest, later=_later, subtract=operator.sub, divide=_divide
    )
    return update_stage(runs, (), "delivered", **values)


_UPDATE_RESPONDED = update_stage(runs, models.RUN_COLUMNS, "responded")
_UPDATE_RESPONDED_TEXTS = update_stage(run_texts, models.TEXT_COLUMNS, "responded")
_UPDATE_FINISHED = update_stage(
    runs, models.RUN_COLUMNS, "finished", model=func.coalesce(bindparam("upstream_model"), runs.c.model)
)
_UPDATE_FINISHED_TEXTS = update_stage(run_texts, models.TEXT_COLUMNS, "finished")
_UPDATE_DELIVERED = _update_delivered()


def make_writer(privacy: base.Privacy, price: Price) -> Write:
    """Return the function that writes records within a transaction."""

    def write(connection: Connection, records: Sequence[base.Record]) -> None:
        for is_deletion, group in groupby(records, lambda record: isinstance(record, base.Deletion)):
            if is_deletion:
                for record in group:
                    _delete(connection, record)
            else:
                _write_all(connection, list(group), privacy, price)

    return write


def _write_all(connection: Connection, records: Sequence[base.Record], privacy: base.Privacy, price: Price) -> None:
    new_runs, records = rows.merge_new_runs(records, privacy, price)
    responded = map(rows.response_row, _of_type(records, base.RunResponded))
    finished = (rows.finished_row(record, privacy, price) for record in _of_type(records, base.RunFinished))
    delivered = ((rows.delivery_row(record),) for record in _of_type(records, base.RunDelivered))
    _insert(connection, (runs, run_texts), new_runs)
    _execute(connection, (_UPDATE_RESPONDED, _UPDATE_RESPONDED_TEXTS), responded)
    _execute(connection, (_UPDATE_FINISHED, _UPDATE_FINISHED_TEXTS), finished)
    _execute(connection, (_UPDATE_DELIVERED,), delivered)
    exchanged = (rows.exchange_rows(record, privacy) for record in _of_type(records, base.ExchangeCompleted))
    _insert(connection, (conversations, exchanges), exchanged)


def _of_type(records: Iterable[base.Record], kind: type[R]) -> Iterator[R]:
    return (record for record in records if isinstance(record, kind))


def _execute(connection: Connection, statements: Sequence[Update], parameters: Iterable[Sequence[rows.Row]]) -> None:
    for statement, values in zip(statements, zip(*parameters, strict=True), strict=False):
        connection.execute(statement, list(values))


def _insert(connection: Connection, tables: Sequence[Table], parameters: Iterable[Sequence[rows.Row]]) -> None:
    """Insert rows that have a value for every column.

    A row that exists was committed before its reply was lost: it stays as it is, except for the columns that are
    updated on conflict.
    """
    for table, values in zip(tables, zip(*parameters, strict=True), strict=False):
        sql, order = _compile_insert(table, connection.dialect)
        connection.exec_driver_sql(sql, [tuple(row[name] for name in order) if order else row for row in values])


@lru_cache(64)  # SQLAlchemy would process each value of each row; these values need no conversion
def _compile_insert(table: Table, dialect: Dialect) -> tuple[str, Sequence[str]]:
    """Return the INSERT statement of a table, and the order of its values if they are positional."""
    kind: Any = postgresql if dialect.name == "postgresql" else sqlite
    statement = kind.insert(table)
    if names := _UPDATED_ON_CONFLICT.get(table):
        new = {name: statement.excluded[name] for name in names}
        statement = statement.on_conflict_do_update(index_elements=table.primary_key.columns, set_=new)
    else:
        statement = statement.on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=table.columns.keys())
    return compiled.string, compiled.positiontup or ()


def _delete(connection: Connection, record: base.Record) -> None:
    match record:
        case base.DeletedConversation(owner=owner, conversation_id=conversation_id):
            for table in (exchanges, conversations):
                is_match = (table.c.owner == owner) & (table.c.conversation_id == conversation_id)
                connection.execute(delete(table).where(is_match))
        case base.DeletedRun(owner=owner, run_id=run_id):
            owned = select(runs.c.run_id).where(runs.c.owner == owner, runs.c.run_id == run_id)
            connection.execute(delete(run_texts).where(run_texts.c.run_id.in_(owned)))
            for table in (runs, exchanges):
                connection.execute(delete(table).where(table.c.owner == owner, table.c.run_id == run_id))
        case base.DeletedOwner(owner=owner):
            owned = select(runs.c.run_id).where(runs.c.owner == owner)
            connection.execute(delete(run_texts).where(run_texts.c.run_id.in_(owned)))
            for table in (runs, exchanges, conversations):
                connection.execute(delete(table).where(table.c.owner == owner))
        case base.RetentionSweep(before=before, over_before=over_before):
            expired = select(runs.c.run_id).where(runs.c.run_id < before).limit(MAX_DELETED_ROWS)
            while run_ids := connection.scalars(expired).all():
                for table in (run_texts, runs):
                    connection.execute(delete(table).where(table.c.run_id.in_(run_ids)))
            is_lost = (runs.c.status == "processing") & (runs.c.run_id < over_before)
            connection.execute(update(runs).where(is_lost).values(status="error", code="lost"))
