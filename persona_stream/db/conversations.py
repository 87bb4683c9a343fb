"""Conversations, looked up for their owner.

What was said before in a conversation, for whoever answers next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_

from persona_stream.core.query import Turn
from persona_stream.db.models import Conversation, Exchange
from persona_stream.db.tables import conversations, exchanges

_ROW = [conversations.c[name] for name in Conversation.__struct_fields__]
_EXCHANGE = [exchanges.c[name] for name in Exchange.__struct_fields__]


def list_conversations(
    connection: Connection, owner: str, before: tuple[float, str] | None, limit: int
) -> Sequence[Conversation]:
    """Give an owner's conversations, the newest talk first, from after the moment and the name ``before``."""
    wanted = select(*_ROW).where(conversations.c.owner == owner)
    if before is not None:
        wanted = wanted.where(tuple_(conversations.c.updated_at, conversations.c.conversation_id) < before)
    newest = wanted.order_by(conversations.c.updated_at.desc(), conversations.c.conversation_id.desc()).limit(limit)
    return [Conversation(*row) for row in connection.execute(newest)]


def find_conversation(connection: Connection, owner: str, conversation_id: str) -> Conversation | None:
    """Give one, if the owner has it."""
    mine = select(*_ROW).where(conversations.c.owner == owner, conversations.c.conversation_id == conversation_id)
    row = connection.execute(mine).first()
    return None if row is None else Conversation(*row)


def list_exchanges(
    connection: Connection, owner: str, conversation_id: str, after: str | None, limit: int
) -> Sequence[Exchange]:
    """Give what was said, oldest first, from after the run ``after``."""
    wanted = select(*_EXCHANGE).where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
    if after is not None:
        wanted = wanted.where(exchanges.c.run_id > after)
    return [Exchange(*row) for row in connection.execute(wanted.order_by(exchanges.c.run_id).limit(limit))]


MOST_TOKENS = 8_192
"""How much of a conversation is given to a backend: the newest of it."""
_MOST_EXCHANGES = 200


def load_turns(connection: Connection, owner: str, conversation_id: str, most_tokens: int) -> Sequence[Turn]:
    """Give the newest of a conversation, oldest first: whole exchanges, and no more than so many tokens.

    An exchange without any answer is left out. Of one whose answer was interrupted there is the part that existed;
    reasoning takes the place of an answer where there is none.
    """
    newest = (
        select(exchanges.c.question, exchanges.c.answer, exchanges.c.reasoning, exchanges.c.tokens)
        .where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
        .order_by(exchanges.c.run_id.desc())
        .limit(_MOST_EXCHANGES)
    )
    kept = list(_within(connection.execute(newest), most_tokens))
    return [turn for pair in reversed(kept) for turn in pair]


def _within(rows: Any, most_tokens: int) -> Iterator[tuple[Turn, Turn]]:
    left = most_tokens
    for row in rows:
        answer = row.answer or row.reasoning
        if not answer:
            continue
        left -= row.tokens
        if left < 0:
            return
        yield Turn("user", row.question), Turn("assistant", answer)
