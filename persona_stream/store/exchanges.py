"""Exchanges of a conversation as rows. Pure."""

from __future__ import annotations

from typing import Any

from persona_stream.core.content import clean
from persona_stream.core.facts import Answered
from persona_stream.core.snapshot import summarize
from persona_stream.core.usage import tokens
from persona_stream.store.records import Exchanged

_TITLE = 80  # characters


def exchanged(record: Exchanged) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the rows of a conversation and of its newest exchange.

    Of an answer that was interrupted, there is the part that existed. Reasoning is kept only where there is no answer.
    """
    summary, question = summarize(record.entries), clean(record.query.message)
    run = summary.run
    key = {"owner": clean(run.owner), "conversation_id": run.conversation_id, "username": clean(run.username)}
    title = " ".join(question.split())[:_TITLE]
    conversation = {**key, "title": title, "created_at": summary.accepted_at, "updated_at": summary.ended_at}
    exchange = {
        **key,
        "run_id": run.run_id,
        "at": summary.accepted_at,
        "question": question,
        "answer": summary.text,
        "reasoning": None if summary.text else summary.reasoning or None,
        "is_complete": isinstance(summary.ending, Answered),
        "status": summary.status,
        "tokens": tokens((question, summary.text)),
    }
    return conversation, exchange
