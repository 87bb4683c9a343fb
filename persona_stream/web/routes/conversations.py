"""``/api/conversations``: what was said, for whoever said it.

Conversations as their owner sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Literal

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.db.models import Conversation, Exchange
from persona_stream.db.records import DeletedConversation
from persona_stream.errors import InvalidRequest, NotFound
from persona_stream.protocols.native.responses import isoformat
from persona_stream.web.auth import authenticate
from persona_stream.web.parsing import page_limit
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class ConversationView(Struct, frozen=True, kw_only=True):
    """Conversation without its exchanges. Timestamps are ISO 8601 in UTC."""

    conversation_id: Annotated[str, Meta(description="Conversation id.")]
    username: Annotated[str, Meta(description="Persona that answers.")]
    title: Annotated[str, Meta(description="Beginning of the first question.")]
    created_at: Annotated[str, Meta(description="Time of the first question.")]
    updated_at: Annotated[str, Meta(description="Time at which the latest answer ended.")]


class ExchangeView(Struct, frozen=True, kw_only=True):
    """Question with its answer; an interrupted answer is shown as far as it got."""

    run_id: Annotated[str, Meta(description="Run that answered the question.")]
    username: Annotated[str, Meta(description="Persona that answered.")]
    at: Annotated[str, Meta(description="Time of the question: ISO 8601 in UTC.")]
    question: Annotated[str, Meta(description="Question.")]
    answer: Annotated[str, Meta(description="Answer, or its beginning if it was interrupted.")]
    reasoning: Annotated[str | None, Meta(description="Reasoning of the model if it gave no answer; otherwise `null`.")]
    is_complete: Annotated[bool, Meta(description="Whether the answer is complete.")]
    status: Annotated[str, Meta(description="Final state of the run.")]


class ConversationList(Struct, frozen=True, kw_only=True):
    """Page of the caller's conversations, most recently updated first."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    conversations: Annotated[list[ConversationView], Meta(description="Conversations of this page.")]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]


class ConversationPage(Struct, frozen=True, kw_only=True):
    """Conversation with a page of its exchanges, oldest first."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    conversation: Annotated[ConversationView, Meta(description="The conversation.")]
    exchanges: Annotated[list[ExchangeView], Meta(description="Exchanges of this page.")]
    next: Annotated[str | None, Meta(description="Value of `after` for the next page; `null` on the last page.")]


class ConversationDeleted(Struct, frozen=True, kw_only=True):
    """Confirmation that a conversation was deleted."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    conversation_id: Annotated[str, Meta(description="Id of the deleted conversation.")]


def conversation_view(conversation: Conversation) -> ConversationView:
    """Show a conversation."""
    return ConversationView(
        conversation_id=conversation.conversation_id,
        username=conversation.username,
        title=conversation.title,
        created_at=isoformat(conversation.created_at),
        updated_at=isoformat(conversation.updated_at),
    )


def exchange_view(exchange: Exchange) -> ExchangeView:
    """Show an exchange."""
    return ExchangeView(
        run_id=exchange.run_id,
        username=exchange.username,
        at=isoformat(exchange.at),
        question=exchange.question,
        answer=exchange.answer,
        reasoning=exchange.reasoning,
        is_complete=exchange.is_complete,
        status=exchange.status,
    )


def export_markdown(conversation: Conversation, exchanges: Sequence[Exchange]) -> str:
    """Write a conversation for people. What was said is left as it is: it often is Markdown already."""
    parts = [
        f"# {conversation.title or conversation.conversation_id}",
        f"{conversation.username} · {isoformat(conversation.created_at)}",
    ]
    for exchange in exchanges:
        answer = exchange.answer or exchange.reasoning or ""
        mark = "" if exchange.is_complete else f" ({exchange.status})"
        parts += [f"## You · {isoformat(exchange.at)}", exchange.question, f"## {exchange.username}{mark}", answer]
    return "\n\n".join(part for part in parts if part) + "\n"


_PAGE, _LARGEST_PAGE = 20, 100
_WHOLE = 100_000  # exchanges of an export: more than anybody has
_MARK = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)_([A-Za-z0-9._:-]{1,128})")


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of conversations."""
    blueprint = Blueprint("conversations", __name__)

    @blueprint.get("/api/conversations")
    def mine() -> Response:
        owner, most, before = authenticate(request, desk.verifier).subject, page_limit(_PAGE, _LARGEST_PAGE), _before()
        desk.store.flush()
        found = desk.store.query(lambda connection: _kept().list_conversations(connection, owner, before, most + 1))
        following = f"{found[most - 1].updated_at!r}_{found[most - 1].conversation_id}" if len(found) > most else None
        return json_response(
            ConversationList(conversations=[conversation_view(each) for each in found[:most]], next=following)
        )

    @blueprint.get("/api/conversations/<conversation_id>")
    def show(conversation_id: str) -> Response:
        owner, most = authenticate(request, desk.verifier).subject, page_limit(_PAGE, _LARGEST_PAGE)
        conversation = _found(desk, owner, conversation_id)
        said = _said(desk, owner, conversation_id, request.args.get("after"), most + 1)
        following = said[most - 1].run_id if len(said) > most else None
        shown = [exchange_view(each) for each in said[:most]]
        return json_response(
            ConversationPage(conversation=conversation_view(conversation), exchanges=shown, next=following)
        )

    @blueprint.get("/api/conversations/<conversation_id>/export")
    def export(conversation_id: str) -> Response:
        owner, form = authenticate(request, desk.verifier).subject, request.args.get("format", "json")
        if form not in ("json", "markdown"):
            raise InvalidRequest("format: is none of json, markdown")
        conversation = _found(desk, owner, conversation_id)
        said = _said(desk, owner, conversation_id, None, _WHOLE)
        if form == "markdown":
            response = Response(export_markdown(conversation, said), content_type="text/markdown; charset=utf-8")
        else:
            shown = [exchange_view(each) for each in said]
            response = json_response(
                ConversationPage(conversation=conversation_view(conversation), exchanges=shown, next=None)
            )
        # The name has nothing in it that a header, a shell or a file system takes amiss.
        response.headers["Content-Disposition"] = (
            f'attachment; filename="{conversation_id}.{"md" if form == "markdown" else "json"}"'
        )
        return response

    @blueprint.delete("/api/conversations/<conversation_id>")
    def forget(conversation_id: str) -> Response:
        owner = authenticate(request, desk.verifier).subject
        _found(desk, owner, conversation_id)
        desk.store.enqueue(DeletedConversation(owner, conversation_id))
        desk.store.flush()
        return json_response(ConversationDeleted(conversation_id=conversation_id))

    return blueprint


def _kept() -> ModuleType:
    # Imported where there is a store: without one, the library that it needs need not be there either.
    from persona_stream.db import conversations

    return conversations


def _found(desk: Services, owner: str, conversation_id: str) -> Conversation:
    desk.store.flush()
    found: Conversation | None = desk.store.query(
        lambda connection: _kept().find_conversation(connection, owner, conversation_id)
    )
    if found is None:
        raise NotFound("There is no such conversation")
    return found


def _said(desk: Services, owner: str, conversation_id: str, after: str | None, most: int) -> Sequence[Exchange]:
    said: Sequence[Exchange] = desk.store.query(
        lambda connection: _kept().list_exchanges(connection, owner, conversation_id, after, most)
    )
    return said


def _before() -> tuple[float, str] | None:
    text = request.args.get("before")
    if text is None:
        return None
    if (found := _MARK.fullmatch(text)) is None:
        raise InvalidRequest("before: must be the next of a page before")
    return float(found[1]), found[2]
