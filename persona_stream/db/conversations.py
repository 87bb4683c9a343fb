"""Queries over the conversations of one owner, and the history that a question continues."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_

from persona_stream.core.query import Turn
from persona_stream.db.models import Conversation, Exchange
from persona_stream.db.tables import conversations, exchanges

MAX_HISTORY_TOKENS = 8_192
"""Limit of the history that a backend gets; its newest exchanges are kept."""
MAX_HISTORY_EXCHANGES = 200

_CONVERSATION = [conversations.c[name] for name in Conversation.__struct_fields__]
_EXCHANGE = [exchanges.c[name] for name in Exchange.__struct_fields__]


def list_conversations(
    connection: Connection, owner: str, before: tuple[float, str] | None, limit: int
) -> Sequence[Conversation]:
    """Return an owner's conversations, last updated first, after the update time and id of ``before``."""
    query = select(*_CONVERSATION).where(conversations.c.owner == owner)
    if before is not None:
        query = query.where(tuple_(conversations.c.updated_at, conversations.c.conversation_id) < before)
    query = query.order_by(conversations.c.updated_at.desc(), conversations.c.conversation_id.desc()).limit(limit)
    return [Conversation(*row) for row in connection.execute(query)]


def find_conversation(connection: Connection, owner: str, conversation_id: str) -> Conversation | None:
    """Return a conversation, or ``None`` if the owner does not have it."""
    query = select(*_CONVERSATION).where(
        conversations.c.owner == owner, conversations.c.conversation_id == conversation_id
    )
    row = connection.execute(query).first()
    return None if row is None else Conversation(*row)


def list_exchanges(
    connection: Connection, owner: str, conversation_id: str, after: str | None, limit: int
) -> Sequence[Exchange]:
    """Return the exchanges of a conversation, oldest first, after the run ``after``."""
    query = select(*_EXCHANGE).where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
    if after is not None:
        query = query.where(exchanges.c.run_id > after)
    return [Exchange(*row) for row in connection.execute(query.order_by(exchanges.c.run_id).limit(limit))]


def load_turns(connection: Connection, owner: str, conversation_id: str, max_tokens: int) -> Sequence[Turn]:
    """Return the newest turns of a conversation, oldest first: whole exchanges of at most ``max_tokens`` in all.

    Exchanges without any answer are left out. Of an interrupted answer, the part that was produced is returned; an
    exchange without an answer but with reasoning has the reasoning in its place.
    """
    newest = (
        select(exchanges.c.question, exchanges.c.answer, exchanges.c.reasoning, exchanges.c.tokens)
        .where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
        .order_by(exchanges.c.run_id.desc())
        .limit(MAX_HISTORY_EXCHANGES)
    )
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
        yield Turn("user", row.question), Turn("assistant", answer)
