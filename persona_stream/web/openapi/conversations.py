"""The addresses of conversations."""

from __future__ import annotations

import msgspec

from persona_stream.db.models import Conversation, Exchange
from persona_stream.web.openapi.examples import BEGAN, RUN_ID
from persona_stream.web.openapi.parameters import parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref
from persona_stream.web.routes.conversations import (
    ConversationDeleted,
    ConversationList,
    ConversationPage,
    conversation_view,
    exchange_view,
)

_KNOWN = ("Unauthorized", "Forbidden", "Internal", "Unavailable")
_FOUND = (*_KNOWN, "NoConversation")

_CONVERSATION = Conversation("chat_123", "VitalikButerin", "What is Ethereum?", BEGAN, BEGAN + 60)
_EXCHANGE = Exchange(
    RUN_ID, "VitalikButerin", BEGAN, "What is Ethereum?", "A blockchain that runs programs.", None, True, "complete"
)
_LIST = ConversationList(conversations=[conversation_view(_CONVERSATION)], next=None)
_PAGE = ConversationPage(conversation=conversation_view(_CONVERSATION), exchanges=[exchange_view(_EXCHANGE)], next=None)


def paths() -> Node:
    """Describe these addresses."""
    return {
        "/api/conversations": {"get": _list()},
        "/api/conversations/{conversation_id}": {
            "parameters": parameters("ConversationId"),
            "get": _show(),
            "delete": _delete(),
        },
        "/api/conversations/{conversation_id}/export": {"parameters": parameters("ConversationId"), "get": _export()},
    }


def _list() -> Node:
    return {
        "operationId": "listConversations",
        "tags": ["Conversations"],
        "summary": "List your conversations",
        "description": "The newest talk first.",
        "parameters": parameters("ConversationLimit", "ConversationBefore"),
        "responses": {"200": _json("A page of conversations.", _LIST), **refusals(*_KNOWN, "InvalidRequest")},
    }


def _show() -> Node:
    return {
        "operationId": "showConversation",
        "tags": ["Conversations"],
        "summary": "Read a conversation",
        "description": "Oldest first. Of an answer that was interrupted there is the part that existed.",
        "parameters": parameters("ExchangeLimit", "ExchangeAfter"),
        "responses": {"200": _json("A page of it.", _PAGE), **refusals(*_FOUND, "InvalidRequest")},
    }


def _delete() -> Node:
    gone = ConversationDeleted(conversation_id="chat_123")
    return {
        "operationId": "deleteConversation",
        "tags": ["Conversations"],
        "summary": "Delete a conversation",
        "responses": {"200": _json("Nothing of it is kept any more.", gone), **refusals(*_FOUND)},
    }


def _export() -> Node:
    whole = _json("All of it, to be saved.", _PAGE)
    whole["content"]["text/markdown"] = {"schema": {"type": "string"}}
    return {
        "operationId": "exportConversation",
        "tags": ["Conversations"],
        "summary": "Save a conversation",
        "parameters": parameters("ExportFormat"),
        "responses": {"200": whole, **refusals(*_FOUND, "InvalidRequest")},
    }


def _json(description: str, example: msgspec.Struct) -> Node:
    content = {"schema": ref(type(example).__name__), "example": msgspec.to_builtins(example)}
    return {"description": description, "content": {"application/json": content}}
