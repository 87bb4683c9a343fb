"""Conversations, looked up for their owner."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, tuple_

from persona_stream.store.said import Conversation, Exchange
from persona_stream.store.tables import conversations, exchanges

_ROW = [conversations.c[name] for name in Conversation.__struct_fields__]
_EXCHANGE = [exchanges.c[name] for name in Exchange.__struct_fields__]


def page(connection: Connection, owner: str, before: tuple[float, str] | None, limit: int) -> Sequence[Conversation]:
    """Give an owner's conversations, the newest talk first, from after the moment and the name ``before``."""
    wanted = select(*_ROW).where(conversations.c.owner == owner)
    if before is not None:
        wanted = wanted.where(tuple_(conversations.c.updated_at, conversations.c.conversation_id) < before)
    newest = wanted.order_by(conversations.c.updated_at.desc(), conversations.c.conversation_id.desc()).limit(limit)
    return [Conversation(*row) for row in connection.execute(newest)]


def find(connection: Connection, owner: str, conversation_id: str) -> Conversation | None:
    """Give one, if the owner has it."""
    mine = select(*_ROW).where(conversations.c.owner == owner, conversations.c.conversation_id == conversation_id)
    row = connection.execute(mine).first()
    return None if row is None else Conversation(*row)


def said(connection: Connection, owner: str, conversation_id: str, after: str | None, limit: int) -> Sequence[Exchange]:
    """Give what was said, oldest first, from after the run ``after``."""
    wanted = select(*_EXCHANGE).where(exchanges.c.owner == owner, exchanges.c.conversation_id == conversation_id)
    if after is not None:
        wanted = wanted.where(exchanges.c.run_id > after)
    return [Exchange(*row) for row in connection.execute(wanted.order_by(exchanges.c.run_id).limit(limit))]
