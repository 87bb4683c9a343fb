"""What was said before in a conversation, for whoever answers next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from persona_stream.core.query import Turn
from persona_stream.store.tables import exchanges

MOST_TOKENS = 8_192
"""How much of a conversation is given to a backend: the newest of it."""
_MOST_EXCHANGES = 200


def turns(connection: Connection, owner: str, conversation_id: str, most_tokens: int) -> Sequence[Turn]:
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
