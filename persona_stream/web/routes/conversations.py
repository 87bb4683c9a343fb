"""``/api/conversations``: list, read, export and delete the caller's conversations."""

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
from persona_stream.web.openapi import components, examples
from persona_stream.web.openapi.operations import (
    Body,
    ErrorSpec,
    Operation,
    Parameter,
    ResponseSpec,
    Tag,
    describe,
    json_spec,
)
from persona_stream.web.parsing import page_limit
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_EXPORTED_EXCHANGES = 100_000
_CURSOR = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)_([A-Za-z0-9._:-]{1,128})"


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
    """Return a conversation in the form that clients get."""
    return ConversationView(
        conversation_id=conversation.conversation_id,
        username=conversation.username,
        title=conversation.title,
        created_at=isoformat(conversation.created_at),
        updated_at=isoformat(conversation.updated_at),
    )


def exchange_view(exchange: Exchange) -> ExchangeView:
    """Return an exchange in the form that clients get."""
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
    """Return a conversation as Markdown. Its texts are not escaped, because they often are Markdown already."""
    parts = [
        f"# {conversation.title or conversation.conversation_id}",
        f"{conversation.username} · {isoformat(conversation.created_at)}",
    ]
    for exchange in exchanges:
        answer = exchange.answer or exchange.reasoning or ""
        mark = "" if exchange.is_complete else f" ({exchange.status})"
        parts += [f"## You · {isoformat(exchange.at)}", exchange.question, f"## {exchange.username}{mark}", answer]
    return "\n\n".join(part for part in parts if part) + "\n"


CONVERSATIONS = Tag("Conversations", "History of the caller's conversations.")
_CONVERSATION_ID = Parameter(
    name="conversation_id",
    location="path",
    description="Conversation id.",
    type=Annotated[str, Meta(min_length=1)],
    required=True,
    example="chat_123",
)
_NOT_FOUND = ErrorSpec(
    "ConversationNotFound",
    NotFound("Conversation not found"),
    "The conversation does not exist, or belongs to another caller.",
)
_CONVERSATION = conversation_view(
    Conversation(
        "chat_123",
        examples.USERNAME,
        examples.QUESTION,
        created_at=examples.ACCEPTED_AT,
        updated_at=examples.ACCEPTED_AT + 60,
    )
)
_EXCHANGE = exchange_view(
    Exchange(
        run_id=examples.RUN_ID,
        username=examples.USERNAME,
        at=examples.ACCEPTED_AT,
        question=examples.QUESTION,
        answer="A blockchain that runs programs.",
        reasoning=None,
        is_complete=True,
        status="complete",
    )
)
_PAGE = ConversationPage(conversation=_CONVERSATION, exchanges=[_EXCHANGE], next=None)

_LIST = Operation(
    id="listConversations",
    summary="List conversations",
    description="Returns the caller's conversations, most recently updated first.",
    tags=(CONVERSATIONS,),
    parameters=(
        components.limit_parameter("conversations", MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE),
        Parameter(
            name="before",
            location="query",
            description="`next` of the previous page.",
            type=Annotated[str, Meta(pattern=f"^{_CURSOR}$")],
        ),
    ),
    responses={
        200: json_spec(
            "A page of conversations.", ConversationList, ConversationList(conversations=[_CONVERSATION], next=None)
        )
    },
    errors=(*components.COMMON_ERRORS, components.INVALID_REQUEST),
)
_GET = Operation(
    id="showConversation",
    summary="Get a conversation",
    description="Returns its exchanges, oldest first. An interrupted answer is returned as far as it got.",
    tags=(CONVERSATIONS,),
    parameters=(
        _CONVERSATION_ID,
        components.limit_parameter("exchanges", MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE),
        Parameter(name="after", location="query", description="`next` of the previous page."),
    ),
    responses={200: json_spec("A page of the conversation.", ConversationPage, _PAGE)},
    errors=(*components.COMMON_ERRORS, components.INVALID_REQUEST, _NOT_FOUND),
)
_EXPORT = Operation(
    id="exportConversation",
    summary="Export a conversation",
    tags=(CONVERSATIONS,),
    parameters=(
        _CONVERSATION_ID,
        Parameter(
            name="format",
            location="query",
            description="File format.",
            choices=("json", "markdown"),
            default="json",
        ),
    ),
    responses={
        200: ResponseSpec(
            description="The whole conversation as a file to save.",
            bodies=(
                Body(schema=(ConversationPage,), examples={"conversation": _PAGE}),
                Body(schema=(str,), media_type="text/markdown"),
            ),
        )
    },
    errors=(*components.COMMON_ERRORS, components.INVALID_REQUEST, _NOT_FOUND),
)
_DELETE = Operation(
    id="deleteConversation",
    summary="Delete a conversation",
    tags=(CONVERSATIONS,),
    parameters=(_CONVERSATION_ID,),
    responses={
        200: json_spec(
            "The conversation was deleted.", ConversationDeleted, ConversationDeleted(conversation_id="chat_123")
        )
    },
    errors=(*components.COMMON_ERRORS, _NOT_FOUND),
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/conversations``."""
    blueprint = Blueprint("conversations", __name__)

    @blueprint.get("/api/conversations")
    @describe(_LIST)
    def list_conversations() -> Response:
        owner = authenticate(request, services.verifier).subject
        limit = page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        before = _parse_cursor()
        services.store.flush()
        found = services.store.query(
            lambda connection: _queries().list_conversations(connection, owner, before, limit + 1)
        )
        last = found[limit - 1] if len(found) > limit else None
        return json_response(
            ConversationList(
                conversations=[conversation_view(conversation) for conversation in found[:limit]],
                next=f"{last.updated_at!r}_{last.conversation_id}" if last else None,
            )
        )

    @blueprint.get("/api/conversations/<conversation_id>")
    @describe(_GET)
    def get_conversation(conversation_id: str) -> Response:
        owner = authenticate(request, services.verifier).subject
        limit = page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        conversation = _find(services, owner, conversation_id)
        exchanges = _exchanges(services, owner, conversation_id, after=request.args.get("after"), limit=limit + 1)
        return json_response(
            ConversationPage(
                conversation=conversation_view(conversation),
                exchanges=[exchange_view(exchange) for exchange in exchanges[:limit]],
                next=exchanges[limit - 1].run_id if len(exchanges) > limit else None,
            )
        )

    @blueprint.get("/api/conversations/<conversation_id>/export")
    @describe(_EXPORT)
    def export_conversation(conversation_id: str) -> Response:
        owner = authenticate(request, services.verifier).subject
        file_format = request.args.get("format", "json")
        if file_format not in ("json", "markdown"):
            raise InvalidRequest("format: must be json or markdown")
        conversation = _find(services, owner, conversation_id)
        exchanges = _exchanges(services, owner, conversation_id, after=None, limit=MAX_EXPORTED_EXCHANGES)
        if file_format == "markdown":
            suffix = "md"
            response = Response(export_markdown(conversation, exchanges), content_type="text/markdown; charset=utf-8")
        else:
            suffix = "json"
            response = json_response(
                ConversationPage(
                    conversation=conversation_view(conversation),
                    exchanges=[exchange_view(exchange) for exchange in exchanges],
                    next=None,
                )
            )
        # A conversation that exists has an id of harmless characters only (ConversationId), so it needs no quoting.
        response.headers["Content-Disposition"] = f'attachment; filename="{conversation_id}.{suffix}"'
        return response

    @blueprint.delete("/api/conversations/<conversation_id>")
    @describe(_DELETE)
    def delete_conversation(conversation_id: str) -> Response:
        owner = authenticate(request, services.verifier).subject
        _find(services, owner, conversation_id)
        services.store.enqueue(DeletedConversation(owner, conversation_id))
        services.store.flush()
        return json_response(ConversationDeleted(conversation_id=conversation_id))

    return blueprint


def _queries() -> ModuleType:
    # Imported on use: it needs SQLAlchemy, which a server without a database may lack.
    from persona_stream.db import conversations

    return conversations


def _find(services: Services, owner: str, conversation_id: str) -> Conversation:
    services.store.flush()
    found: Conversation | None = services.store.query(
        lambda connection: _queries().find_conversation(connection, owner, conversation_id)
    )
    if found is None:
        raise NotFound("Conversation not found")
    return found


def _exchanges(
    services: Services, owner: str, conversation_id: str, *, after: str | None, limit: int
) -> Sequence[Exchange]:
    found: Sequence[Exchange] = services.store.query(
        lambda connection: _queries().list_exchanges(connection, owner, conversation_id, after, limit)
    )
    return found


def _parse_cursor() -> tuple[float, str] | None:
    text = request.args.get("before")
    if text is None:
        return None
    match = re.fullmatch(_CURSOR, text)
    if match is None:
        raise InvalidRequest("before: must be the next value of the previous page")
    return float(match[1]), match[2]
