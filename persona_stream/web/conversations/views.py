"""Conversations as their owner sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from persona_stream.db.models import Conversation, Exchange
from persona_stream.protocols.native.responses import moment


class ConversationView(Struct, frozen=True, kw_only=True):
    """A conversation without what was said. Moments are ISO 8601 in UTC."""

    conversation_id: str
    username: str
    title: str
    created_at: str
    updated_at: str


class ExchangeView(Struct, frozen=True, kw_only=True):
    """A question and its answer; of one that was interrupted, the part that existed, with ``is_complete`` false."""

    run_id: str
    username: str
    at: str
    question: str
    answer: str
    reasoning: str | None
    is_complete: bool
    status: str


class ConversationList(Struct, frozen=True, kw_only=True):
    """A page of the caller's conversations, the newest talk first; ``next`` is the ``before`` of the next page."""

    success: Literal[True] = True
    conversations: list[ConversationView]
    next: str | None


class ConversationPage(Struct, frozen=True, kw_only=True):
    """A conversation, oldest first; ``next`` is the ``after`` of the next page."""

    success: Literal[True] = True
    conversation: ConversationView
    exchanges: list[ExchangeView]
    next: str | None


class ConversationDeleted(Struct, frozen=True, kw_only=True):
    """Nothing of the conversation is kept any more."""

    success: Literal[True] = True
    conversation_id: str


def view(conversation: Conversation) -> ConversationView:
    """Show a conversation."""
    return ConversationView(
        conversation_id=conversation.conversation_id,
        username=conversation.username,
        title=conversation.title,
        created_at=moment(conversation.created_at),
        updated_at=moment(conversation.updated_at),
    )


def exchange_view(exchange: Exchange) -> ExchangeView:
    """Show an exchange."""
    return ExchangeView(
        run_id=exchange.run_id,
        username=exchange.username,
        at=moment(exchange.at),
        question=exchange.question,
        answer=exchange.answer,
        reasoning=exchange.reasoning,
        is_complete=exchange.is_complete,
        status=exchange.status,
    )


def markdown(conversation: Conversation, exchanges: Sequence[Exchange]) -> str:
    """Write a conversation for people. What was said is left as it is: it often is Markdown already."""
    parts = [
        f"# {conversation.title or conversation.conversation_id}",
        f"{conversation.username} · {moment(conversation.created_at)}",
    ]
    for exchange in exchanges:
        answer = exchange.answer or exchange.reasoning or ""
        mark = "" if exchange.is_complete else f" ({exchange.status})"
        parts += [f"## You · {moment(exchange.at)}", exchange.question, f"## {exchange.username}{mark}", answer]
    return "\n\n".join(part for part in parts if part) + "\n"
