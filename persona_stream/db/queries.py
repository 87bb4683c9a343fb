"""Queries over the request log and over the conversations of one owner.

Each function takes an SQLAlchemy connection and is called in a thread that may block (``Store.query``).

Alternatives of a filter of runs (several statuses, a user by either name) become branches of a UNION. Each branch is a
conjunction that an index returns newest first, and a page consists of the newest runs of all branches. With an OR in
one query the database would scan every row, or sort all that match.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, get_args

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from persona_stream.core.forecast import FinishedRun, Outcome, RunFeatures
from persona_stream.core.query import Turn
from persona_stream.core.run_id import min_run_id_at
from persona_stream.db import models
from persona_stream.db.tables import conversations, exchanges, run_texts, runs

Condition = ColumnElement[bool]

RECENT_RUNS = 1_000  # of all backends together
MAX_OPTIONS = 200  # values that a filter offers
SEARCH_WINDOW = 20_000  # rows that one page of a search looks at
MAX_HISTORY_TOKENS = 8_192
"""Limit of the history that a backend gets; its newest exchanges are kept."""
MAX_HISTORY_EXCHANGES = 200

_RUN_ID_LENGTH = 26
_RUN_ID_LETTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")
_LAST_LETTER = "z"
_ROW = [runs.c[name] for name in models.RunRow.__struct_fields__]
_RECORD = [runs.c[name] for name in models.RunRecord.__struct_fields__]
_TEXTS = [run_texts.c[name] for name in models.RunTexts.__struct_fields__]
_CONVERSATION = [conversations.c[name] for name in models.Conversation.__struct_fields__]
_EXCHANGE = [exchanges.c[name] for name in models.Exchange.__struct_fields__]


def list_runs(
    connection: Connection, filters: models.RunFilters, before: str | None, limit: int
) -> tuple[Sequence[models.RunRow], str | None]:
    """Return the newest matching runs older than ``before``, and the ``before`` of the next page, if there is one.

    A search looks at ``SEARCH_WINDOW`` runs at a time: its page can be short or empty and still have a next page.
    """
    oldest = _oldest_in_window(connection, before) if filters.search else None
    run_ids = newest_runs_query(filters, before, oldest, limit=limit + 1, dialect=connection.dialect.name)
    query = select(*_ROW).where(runs.c.run_id.in_(run_ids)).order_by(runs.c.run_id.desc())
    rows = [models.RunRow(*row) for row in connection.execute(query)]
    next_before = rows[limit - 1].run_id if len(rows) > limit else oldest
    return rows[:limit], next_before


def error_texts(connection: Connection, run_ids: Sequence[str]) -> dict[str, str]:
    """Return the error texts of those of the runs that have one, by run id."""
    query = select(run_texts.c.run_id, run_texts.c.error).where(run_texts.c.run_id.in_(run_ids))
    return {run_id: error for run_id, error in connection.execute(query) if error is not None}


def recent_durations(connection: Connection) -> list[tuple[str, FinishedRun]]:
    """Return the newest runs that count in forecasts, oldest first, each with its backend."""
    columns = ("backend", "status", "started_at", "text_at", "ended_at", "input_tokens", "username")
    is_own = runs.c.cached.is_not(true())
    # The user takes any time to answer.
    has_asked = exists().where(run_texts.c.run_id == runs.c.run_id, run_texts.c.steps.contains('"kind":"input"'))
    query = select(*(runs.c[name] for name in columns)).where(is_own, ~has_asked)
    query = query.order_by(runs.c.run_id.desc()).limit(RECENT_RUNS)
    found = []
    for backend, status, started_at, text_at, ended_at, input_tokens, username in connection.execute(query):
        end = ended_at if text_at is None else text_at
        if started_at is None or end is None or (text_at is None and status not in get_args(Outcome)):
            continue
        features = RunFeatures(input_tokens or 0, persona=username, at=started_at)
        outcome: Outcome = status if text_at is None else "complete"
        found.append((backend, FinishedRun(max(0.0, end - started_at), outcome, features)))
    return found[::-1]


def get_run(connection: Connection, run_id: str) -> tuple[models.RunRecord, models.RunTexts] | None:
    """Return a run with its texts, or ``None`` if the log does not have it."""
    row = connection.execute(select(*_RECORD).where(runs.c.run_id == run_id)).first()
    if row is None:
        return None
    texts = connection.execute(select(*_TEXTS).where(run_texts.c.run_id == run_id)).first()
    return models.RunRecord(*row), models.RunTexts() if texts is None else _decode_texts(texts)


def find_run_ids(connection: Connection, ending: str, limit: int) -> Sequence[str]:
    """Return the ids of the newest runs that end in a text."""
    matching = select(runs.c.run_id).where(runs.c.run_id.endswith(ending, autoescape=True))
    return connection.execute(matching.order_by(runs.c.run_id.desc()).limit(limit)).scalars().all()


def _decode_texts(row: Row[Any]) -> models.RunTexts:
    values = {
        column.name: msgspec.json.decode(value) if column.kind == "json" and value is not None else value
        for column, value in zip(models.TEXT_COLUMNS, row, strict=True)
    }
    return msgspec.convert(values, models.RunTexts)


def filter_options(connection: Connection) -> models.FilterOptions:
    """Return the values that runs can be filtered by."""
    columns = (runs.c.status, runs.c.owner, runs.c.username, runs.c.endpoint, runs.c.model)
    return models.FilterOptions(*(_distinct_values(connection, column) for column in columns))


def _distinct_values(connection: Connection, column: Column[Any]) -> list[str]:
    """Return the distinct values of an indexed column in order, at most ``MAX_OPTIONS``.

    Each value is looked up after the previous one: that takes one step in the index for a value, not one for a row.
    """
    first = select(func.min(column).label("value")).cte("steps", recursive=True)
    after = select(func.min(column)).where(column > first.c.value).correlate(first).scalar_subquery()
    steps = first.union_all(select(after).where(first.c.value.is_not(None)))
    values = select(steps.c.value).where(steps.c.value.is_not(None)).limit(literal_column(str(MAX_OPTIONS)))
    return list(connection.scalars(values))


def _oldest_in_window(connection: Connection, before: str | None) -> str | None:
    conditions = [] if before is None else [runs.c.run_id < before]
    run_ids = select(runs.c.run_id).where(*conditions).order_by(runs.c.run_id.desc())
    return connection.scalar(run_ids.offset(SEARCH_WINDOW - 1).limit(1))


def newest_runs_query(
    filters: models.RunFilters, before: str | None, oldest: str | None, *, limit: int, dialect: str
) -> Select[tuple[str]]:
    """Create the query for the ids of the newest matching runs older than ``before`` and not older than ``oldest``."""
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
    first, *others = [select(branch.subquery().c.run_id) for branch in branches]
    union = first.union_all(*others).subquery()
    # A run can match several branches.
    return select(union.c.run_id).distinct().order_by(union.c.run_id.desc()).limit(limit)


def time_range(since: float | None, until: float | None) -> Iterator[Condition]:
    """Yield the conditions for a period: run ids sort by time, so that it is a range of the primary key."""
    if since is not None:
        yield runs.c.run_id >= min_run_id_at(since)
    if until is not None:
        yield runs.c.run_id < min_run_id_at(until)


def _branches(filters: models.RunFilters, dialect: str) -> Iterator[Sequence[Condition]]:
    restrictions: Sequence[tuple[Callable[[Any, Any], Any], Column[Any], Any]] = (
        (operator.eq, runs.c.endpoint, filters.endpoint),
        (operator.eq, runs.c.model, filters.model),
        (operator.eq, runs.c.conversation_id, filters.conversation),
        (operator.ge, runs.c.total, filters.slow),
        (operator.ge, runs.c.ended_at, filters.ended_since),
    )
    shared = [compare(column, value) for compare, column, value in restrictions if value is not None]
    alternatives = (
        [runs.c.status == status for status in dict.fromkeys(filters.statuses)],
        [] if filters.user is None else [runs.c.owner == filters.user, runs.c.username == filters.user],
        _by_search(filters, dialect),
    )
    for conditions in product(*(group for group in alternatives if group)):
        yield [*shared, *conditions]


def _by_search(filters: models.RunFilters, dialect: str) -> Sequence[Condition]:
    search = (filters.search or "").strip()
    if not search:
        return []
    columns = (runs.c.question, runs.c.owner, runs.c.username)
    # SQLite's LIKE ignores case by itself, and takes a third of the time that lower() on both sides would. Each row is
    # scanned: a full-text index would cost more at each run than the scan does at a search.
    contains = Column.contains if dialect == "sqlite" else Column.icontains
    has_text = or_(*(contains(column, search, autoescape=True) for column in columns))
    prefix = search.lower()
    if len(prefix) > _RUN_ID_LENGTH or not _RUN_ID_LETTERS.issuperset(prefix):
        return [has_text]
    return [has_text, runs.c.run_id.between(prefix, prefix.ljust(_RUN_ID_LENGTH, _LAST_LETTER))]


def list_conversations(
    connection: Connection, owner: str, before: tuple[float, str] | None, limit: int
) -> Sequence[models.Conversation]:
    """Return an owner's conversations, last updated first, after the update time and id of ``before``."""
    query = select(*_CONVERSATION).where(conversations.c.owner == owner)
    if before is not None:
        query = query.where(tuple_(conversations.c.updated_at, conversations.c.conversation_id) < before)
    query = query.order_by(conversations.c.updated_at.desc(), conversations.c.conversation_id.desc()).limit(limit)
    return [models.Conversation(*row) for row in connection.execute(query)]


def find_conversation(connection: Connection, owner: str, conversation_id: str) -> models.Conversation | None:
    """Return a conversation, or ``None`` if the owner does not have it."""
    query = select(*_CONVERSATION).where(
        conversations.c.owner == owner, conversations.c.conversation_id == conversation_id
    )
    row = connection.execute(query).first()
    return None if row is None else models.Conversation(*row)


def list_exchanges(
    connection: Connection, owner: str, conversation_id: str, after: str | None, limit: int
) -> Sequence[models.Exchange]:
    """Return the exchanges of a conversation, oldest first, after the run ``after``."""
    query = select(*_EXCHANGE).where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
    if after is not None:
        query = query.where(exchanges.c.run_id > after)
    return [models.Exchange(*row) for row in connection.execute(query.order_by(exchanges.c.run_id).limit(limit))]


def find_conversation_of_run(connection: Connection, owner: str, run_id: str) -> str | None:
    """Return the id of the owner's conversation that a run belongs to, if it is stored."""
    is_exchange = (exchanges.c.owner == owner) & (exchanges.c.run_id == run_id)
    found: str | None = connection.scalar(select(exchanges.c.conversation_id).where(is_exchange))
    return found


def load_turns(
    connection: Connection,
    owner: str,
    conversation_id: str,
    max_tokens: int = MAX_HISTORY_TOKENS,
    last_run_id: str | None = None,
) -> Sequence[Turn]:
    """Return the newest turns of a conversation, oldest first: whole exchanges of at most ``max_tokens`` in all.

    With ``last_run_id``, the exchange of that run is the newest one.

    Exchanges without any answer are left out. Of an interrupted answer, the part that was produced is returned; an
    exchange without an answer but with reasoning has the reasoning in its place.
    """
    newest = (
        select(exchanges.c.question, exchanges.c.answer, exchanges.c.reasoning, exchanges.c.tokens)
        .where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
        .order_by(exchanges.c.run_id.desc())
        .limit(MAX_HISTORY_EXCHANGES)
    )
    if last_run_id is not None:
        newest = newest.where(exchanges.c.run_id <= last_run_id)
    pairs = list(_within_limit(connection.execute(newest), max_tokens))
    return [turn for pair in reversed(pairs) for turn in pair]


def _within_limit(rows: Any, max_tokens: int) -> Iterator[tuple[Turn, Turn]]:
    remaining = max_tokens
    for row in rows:
        answer = row.answer or row.reasoning
        if not answer:
            continue
        remaining -= row.tokens
        if remaining < 0:
            return
        reasoning = row.reasoning if row.answer and row.reasoning else msgspec.UNSET
        yield Turn("user", row.question), Turn("assistant", answer, reasoning=reasoning)
