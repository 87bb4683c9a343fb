"""Look runs up in the log: a page of them, one with all its texts, and what can be chosen from.

Each function takes a connection of SQLAlchemy's, and is called in a thread that may block (``Store.ask``).

Which runs of the log are wanted, as conditions that an index serves.

What is an "or" (a status among several, a user by either name) becomes branches: each is an "and" that some index
answers newest first, and a page is the newest of all branches. An "or" within one query would have the database look
at every row, or sort all that fit.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Select, func, literal_column, or_, select, union_all

from persona_stream.core.run_id import min_run_id_at
from persona_stream.db.models import FilterOptions, RunFilters, RunRecord, RunRow, RunTexts
from persona_stream.db.tables import run_texts, runs

Condition = ColumnElement[bool]

_NAME_LENGTH = 26
_LETTERS = frozenset(string.digits + string.ascii_lowercase)
_LAST = "z"  # of the letters that names of runs are made of


def newest_runs_query(
    filters: RunFilters, before: str | None, oldest: str | None, limit: int, dialect: str
) -> Select[tuple[str]]:
    """Give the query for the names of the newest runs that are wanted.

    Args:
        before: the run that they must be older than.
        oldest: the run that they must not be older than.
        limit: how many.
        dialect: SQLAlchemy's name of the database.
    """
    page = list(time_range(filters.since, filters.until))
    if before is not None:
        page.append(runs.c.run_id < before)
    if oldest is not None:
        page.append(runs.c.run_id >= oldest)
    branches = [
        select(runs.c.run_id).where(*page, *conditions).order_by(runs.c.run_id.desc()).limit(limit)
        for conditions in _branches(filters, dialect)
    ]
    if len(branches) == 1:
        return branches[0]
    # One that is in two branches is one: whoever asks looks rows up by these names.
    parts = [select(branch.subquery().c.run_id) for branch in branches]
    found = union_all(*parts).subquery()
    return select(found.c.run_id).distinct().order_by(found.c.run_id.desc()).limit(limit)


def time_range(since: float | None, until: float | None) -> Iterator[Condition]:
    """Give the conditions for runs of a time: their names sort by it, so that this is a range of the table itself."""
    if since is not None:
        yield runs.c.run_id >= min_run_id_at(since)
    if until is not None:
        yield runs.c.run_id < min_run_id_at(until)


def _branches(filters: RunFilters, dialect: str) -> Iterator[Sequence[Condition]]:
    shared: list[Condition] = []
    for column, value in (
        (runs.c.endpoint, filters.endpoint),
        (runs.c.model, filters.model),
        (runs.c.conversation_id, filters.conversation),
    ):
        if value is not None:
            shared.append(column == value)
    if filters.slow is not None:
        shared.append(runs.c.total >= filters.slow)
    if filters.ended_since is not None:
        shared.append(runs.c.ended_at >= filters.ended_since)
    choices = [choice for choice in (_statuses(filters), _users(filters), _searched(filters, dialect)) if choice]
    for chosen in product(*choices):
        yield [*shared, *chosen]


def _statuses(filters: RunFilters) -> Sequence[Condition]:
    return [runs.c.status == status for status in dict.fromkeys(filters.statuses)]


def _users(filters: RunFilters) -> Sequence[Condition]:
    return [] if filters.user is None else [runs.c.owner == filters.user, runs.c.username == filters.user]


def _searched(filters: RunFilters, dialect: str) -> Sequence[Condition]:
    search = (filters.search or "").strip()
    if not search:
        return []
    texts = (runs.c.question, runs.c.owner, runs.c.username)
    # SQLite's LIKE tells no cases apart by itself, and takes a third of the time that making both lower would. Each row
    # is looked at: an index of all parts of texts would cost more at each run than this does at a search.
    contains = Column.contains if dialect == "sqlite" else Column.icontains
    anywhere = or_(*(contains(column, search, autoescape=True) for column in texts))
    return [anywhere, *_named(search.lower())]


def _named(search: str) -> Sequence[Condition]:
    if len(search) > _NAME_LENGTH or not _LETTERS.issuperset(search):
        return []
    return [runs.c.run_id.between(search, search.ljust(_NAME_LENGTH, _LAST))]


T = TypeVar("T")

_MOST_CHOICES = 200
_SEARCHED = 20_000  # rows
_ROW = [runs.c[name] for name in RunRow.__struct_fields__]
_RECORD = [runs.c[name] for name in RunRecord.__struct_fields__]
_TEXTS = [run_texts.c[name] for name in RunTexts.__struct_fields__]
_IN_JSON = ("request_headers", "response_headers", "steps", "upstream", "raw")


def list_runs(
    connection: Connection, filters: RunFilters, before: str | None, limit: int
) -> tuple[Sequence[RunRow], str | None]:
    """Give the newest runs that are wanted, older than run ``before``; and the ``before`` of the next page, if any.

    A search looks at some thousands of runs at a time: its page can be short, or empty, and yet have a next one.
    """
    oldest = _oldest_searched(connection, before) if filters.search else None
    names = newest_runs_query(filters, before, oldest, limit + 1, connection.dialect.name)
    query = select(*_ROW).where(runs.c.run_id.in_(names)).order_by(runs.c.run_id.desc())
    found = [RunRow(*row) for row in connection.execute(query)]
    following = found[limit - 1].run_id if len(found) > limit else oldest
    return found[:limit], following


def get_run(connection: Connection, run_id: str) -> tuple[RunRecord, RunTexts] | None:
    """Give all that is kept of a run; ``None`` where there is none of this name."""
    row = connection.execute(select(*_RECORD).where(runs.c.run_id == run_id)).first()
    if row is None:
        return None
    texts = connection.execute(select(*_TEXTS).where(run_texts.c.run_id == run_id)).first()
    return RunRecord(*row), RunTexts() if texts is None else _read(
        dict(zip(RunTexts.__struct_fields__, texts, strict=True))
    )


def filter_options(connection: Connection) -> FilterOptions:
    """Give the values that runs can be filtered by."""
    columns = (runs.c.status, runs.c.owner, runs.c.username, runs.c.endpoint, runs.c.model)
    return FilterOptions(*(_values(connection, column) for column in columns))


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
