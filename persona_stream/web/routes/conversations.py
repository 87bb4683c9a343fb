"""``/api/conversations``: list, read, export and delete the caller's conversations."""

import re
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any

from flask import Blueprint, Response, request
from msgspec import Meta, Struct, structs

from persona_stream.db import base, models
from persona_stream.errors import InvalidRequest, NotFound
from persona_stream.protocols.native.schemas import Success, isoformat
from persona_stream.web import auth, parsing, responses
from persona_stream.web.openapi import Body, ErrorSpec, Operation, Parameter, ResponseSpec, Tag, components
from persona_stream.web.services import Services

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_EXPORTED_EXCHANGES = 100_000
# Imported on use: it needs SQLAlchemy, which a server without a database may lack.
_queries = partial(import_module, "persona_stream.db.queries")
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
    reasoning: Annotated[
        str | None, Meta(description="Reasoning, if there is no answer or `history_reasoning` keeps it.")
    ]
    is_complete: Annotated[bool, Meta(description="Whether the answer is complete.")]
    status: Annotated[str, Meta(description="Final state of the run.")]


class ConversationList(Success, frozen=True, kw_only=True):
    """Page of the caller's conversations, most recently updated first."""

    conversations: Annotated[list[ConversationView], Meta(description="Conversations of this page.")]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]


class ConversationPage(Success, frozen=True, kw_only=True):
    """Conversation with a page of its exchanges, oldest first."""

    conversation: Annotated[ConversationView, Meta(description="The conversation.")]
    exchanges: Annotated[list[ExchangeView], Meta(description="Exchanges of this page.")]
    next: Annotated[str | None, Meta(description="Value of `after` for the next page; `null` on the last page.")]


class ConversationDeleted(Success, frozen=True, kw_only=True):
    """Confirmation that a conversation was deleted."""

    conversation_id: Annotated[str, Meta(description="Id of the deleted conversation.")]


def conversation_view(conversation: models.Conversation) -> ConversationView:
    """Return a conversation in the form that clients get."""
    values: dict[str, Any] = structs.asdict(conversation)
    values["created_at"] = isoformat(conversation.created_at)
    values["updated_at"] = isoformat(conversation.updated_at)
    return ConversationView(**values)


def exchange_view(exchange: models.Exchange) -> ExchangeView:
    """Return an exchange in the form that clients get."""
    return ExchangeView(**{**structs.asdict(exchange), "at": isoformat(exchange.at)})


def conversation_page(
    conversation: models.Conversation, found: Sequence[models.Exchange], limit: int
) -> ConversationPage:
    """Return a page of at most ``limit`` exchanges; if more were found, another page follows."""
    exchanges = [exchange_view(exchange) for exchange in found[:limit]]
    following = exchanges[-1].run_id if len(found) > limit else None
    return ConversationPage(conversation=conversation_view(conversation), exchanges=exchanges, next=following)


def export_markdown(conversation: models.Conversation, exchanges: Sequence[models.Exchange]) -> str:
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
_CONVERSATION_ID = Parameter.path("conversation_id", "Conversation id.", "chat_123")
_LIMIT = partial(components.limit_parameter, largest=MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE)
_FORMAT = Parameter("query", "format", "File format.", choices=("json", "markdown"), default="json")
_NOT_FOUND = ErrorSpec(
    NotFound("Conversation not found"),
    "The conversation does not exist, or belongs to another caller.",
    name="ConversationNotFound",
)
_CONVERSATION = models.Conversation(
    "chat_123", components.USERNAME, components.QUESTION, components.ACCEPTED_AT, components.ACCEPTED_AT + 60
)
_EXCHANGE = models.Exchange(
    run_id=components.RUN_ID,
    username=components.USERNAME,
    at=components.ACCEPTED_AT,
    question=components.QUESTION,
    answer="A blockchain that runs programs.",
    reasoning=None,
    is_complete=True,
    status="complete",
)
_LIST = ConversationList(conversations=[conversation_view(_CONVERSATION)], next=None)
_PAGE = conversation_page(_CONVERSATION, [_EXCHANGE], 1)
_FILES = (Body.json(ConversationPage, conversation=_PAGE), Body(schema=(str,), media_type="text/markdown"))
_operation = partial(Operation, tags=[CONVERSATIONS])
_DELETED = ConversationDeleted(conversation_id="chat_123")


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/conversations``."""
    blueprint = Blueprint("conversations", __name__)

    @blueprint.get("/api/conversations")
    @_operation(
        "List conversations",
        ResponseSpec.json("A page of conversations.", _LIST),
        "Returns the caller's conversations, most recently updated first.",
        parameters=(
            _LIMIT("conversations"),
            components.next_page_parameter("before", Annotated[str, Meta(pattern=f"^{_CURSOR}$")]),
        ),
        errors=components.QUERY_ERRORS,
    )
    def list_conversations() -> Response:
        owner = auth.authenticate(request, services.verifier).subject
        limit = parsing.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        before = _parse_cursor()
        services.store.flush()
        found = services.store.query(
            lambda connection: _queries().list_conversations(connection, owner, before, limit + 1)
        )
        last = found[limit - 1] if len(found) > limit else None
        conversations = [conversation_view(conversation) for conversation in found[:limit]]
        following = f"{last.updated_at!r}_{last.conversation_id}" if last else None
        return responses.json_response(ConversationList(conversations=conversations, next=following))

    @blueprint.get("/api/conversations/<conversation_id>")
    @_operation(
        "Get a conversation",
        ResponseSpec.json("A page of the conversation.", _PAGE),
        "Returns its exchanges, oldest first. An interrupted answer is returned as far as it got.",
        parameters=(_CONVERSATION_ID, _LIMIT("exchanges"), components.next_page_parameter("after")),
        errors=(*components.QUERY_ERRORS, _NOT_FOUND),
    )
    def show_conversation(conversation_id: str) -> Response:
        owner = auth.authenticate(request, services.verifier).subject
        limit = parsing.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        conversation = _find(services, owner, conversation_id)
        exchanges = _exchanges(services, owner, conversation_id, after=request.args.get("after"), limit=limit + 1)
        return responses.json_response(conversation_page(conversation, exchanges, limit))

    @blueprint.get("/api/conversations/<conversation_id>/export")
    @_operation(
        "Export a conversation",
        ResponseSpec("The whole conversation as a file to save.", _FILES),
        parameters=(_CONVERSATION_ID, _FORMAT),
        errors=(*components.QUERY_ERRORS, _NOT_FOUND),
    )
    def export_conversation(conversation_id: str) -> Response:
        owner = auth.authenticate(request, services.verifier).subject
        file_format = request.args.get("format", "json")
        if file_format not in _FORMAT.choices:
            raise InvalidRequest("format: must be json or markdown")
        conversation = _find(services, owner, conversation_id)
        exchanges = _exchanges(services, owner, conversation_id, after=None, limit=MAX_EXPORTED_EXCHANGES)
        if file_format == "markdown":
            suffix = "md"
            response = Response(export_markdown(conversation, exchanges), content_type="text/markdown; charset=utf-8")
        else:
            suffix = "json"
            response = responses.json_response(conversation_page(conversation, exchanges, MAX_EXPORTED_EXCHANGES))
        # A conversation that exists has an id of harmless characters only (ConversationId), so it needs no quoting.
        response.headers["Content-Disposition"] = f'attachment; filename="{conversation_id}.{suffix}"'
        return response

    @blueprint.delete("/api/conversations/<conversation_id>")
    @_operation(
        "Delete a conversation",
        ResponseSpec.json("The conversation was deleted.", _DELETED),
        parameters=[_CONVERSATION_ID],
        errors=(*components.COMMON_ERRORS, _NOT_FOUND),
    )
    def delete_conversation(conversation_id: str) -> Response:
        owner = auth.authenticate(request, services.verifier).subject
        _find(services, owner, conversation_id)
        services.store.enqueue(base.DeletedConversation(owner, conversation_id))
        services.store.flush()
        return responses.json_response(ConversationDeleted(conversation_id=conversation_id))

    return blueprint


def _find(services: Services, owner: str, conversation_id: str) -> models.Conversation:
    services.store.flush()
    found: models.Conversation | None = services.store.query(
        lambda connection: _queries().find_conversation(connection, owner, conversation_id)
    )
    if found is None:
        raise NotFound("Conversation not found")
    return found


def _exchanges(
    services: Services, owner: str, conversation_id: str, *, after: str | None, limit: int
) -> Sequence[models.Exchange]:
    return services.store.query(
        lambda connection: _queries().list_exchanges(connection, owner, conversation_id, after, limit)
    )


def _parse_cursor() -> tuple[float, str] | None:
    text = request.args.get("before")
    if text is None:
        return None
    match = re.fullmatch(_CURSOR, text)
    if match is None:
        raise InvalidRequest("before: must be the next value of the previous page")
    return float(match[1]), match[2]
