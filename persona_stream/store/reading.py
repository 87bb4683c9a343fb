"""Look runs up in the log: a page of them, one with all its texts, and what can be chosen from.

Each function takes a connection of SQLAlchemy's, and is called in a thread that may block (``Store.ask``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, Connection, func, literal_column, select

from persona_stream.store.filters import newest
from persona_stream.store.shown import Choices, RunRecord, RunRow, RunTexts
from persona_stream.store.tables import run_texts, runs
from persona_stream.store.wanted import Filters

T = TypeVar("T")

_MOST_CHOICES = 200
_SEARCHED = 20_000  # rows
_ROW = [runs.c[name] for name in RunRow.__struct_fields__]
_RECORD = [runs.c[name] for name in RunRecord.__struct_fields__]
_TEXTS = [run_texts.c[name] for name in RunTexts.__struct_fields__]
_IN_JSON = ("request_headers", "response_headers", "steps", "upstream", "raw")


def list_runs(
    connection: Connection, filters: Filters, before: str | None, limit: int
) -> tuple[Sequence[RunRow], str | None]:
    """Give the newest runs that are wanted, older than run ``before``; and the ``before`` of the next page, if any.

    A search looks at some thousands of runs at a time: its page can be short, or empty, and yet have a next one.
    """
    oldest = _oldest_searched(connection, before) if filters.search else None
    names = newest(filters, before, oldest, limit + 1, connection.dialect.name)
    query = select(*_ROW).where(runs.c.run_id.in_(names)).order_by(runs.c.run_id.desc())
    found = [RunRow(*row) for row in connection.execute(query)]
    following = found[limit - 1].run_id if len(found) > limit else oldest
    return found[:limit], following


def show_run(connection: Connection, run_id: str) -> tuple[RunRecord, RunTexts] | None:
    """Give all that is kept of a run; ``None`` where there is none of this name."""
    row = connection.execute(select(*_RECORD).where(runs.c.run_id == run_id)).first()
    if row is None:
        return None
    texts = connection.execute(select(*_TEXTS).where(run_texts.c.run_id == run_id)).first()
    return RunRecord(*row), RunTexts() if texts is None else _read(
        dict(zip(RunTexts.__struct_fields__, texts, strict=True))
    )


def choices(connection: Connection) -> Choices:
    """Give the values that runs can be filtered by."""
    columns = (runs.c.status, runs.c.owner, runs.c.username, runs.c.endpoint, runs.c.model)
    return Choices(*(_values(connection, column) for column in columns))


def _oldest_searched(connection: Connection, before: str | None) -> str | None:
    older = [] if before is None else [runs.c.run_id < before]
    names = select(runs.c.run_id).where(*older).order_by(runs.c.run_id.desc())
    return connection.scalar(names.offset(_SEARCHED - 1).limit(1))


def _read(row: dict[str, Any]) -> RunTexts:
    read = {name: msgspec.json.decode(row[name]) for name in _IN_JSON if row[name] is not None}
    return msgspec.convert(row | read, RunTexts)


def _values(connection: Connection, column: Column[Any]) -> list[str]:
    """Give the different values of a column that has an index, at most some hundreds, in their order.

    Each is looked up after the one before: a step in the index for a value, and not one for a row.
    """
    first = select(func.min(column).label("value")).cte("steps", recursive=True)
    after = select(func.min(column)).where(column > first.c.value).correlate(first).scalar_subquery()
    steps = first.union_all(select(after).where(first.c.value.is_not(None)))
    found = select(steps.c.value).where(steps.c.value.is_not(None)).limit(literal_column(str(_MOST_CHOICES)))
    return list(connection.scalars(found))
