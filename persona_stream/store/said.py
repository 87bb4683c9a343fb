"""What was said, as it is looked up."""

from __future__ import annotations

from msgspec import Struct


class Conversation(Struct, frozen=True):
    """Hold a conversation without what was said. Moments are seconds since 1970."""

    conversation_id: str
    username: str
    title: str
    created_at: float
    updated_at: float


class Exchange(Struct, frozen=True):
    """Hold a question and its answer, or as much of it as there was."""

    run_id: str
    username: str
    at: float
    question: str
    answer: str
    reasoning: str | None
    is_complete: bool
    status: str
