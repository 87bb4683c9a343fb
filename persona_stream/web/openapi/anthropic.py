"""The addresses of Anthropic's protocol."""

from __future__ import annotations

from persona_stream.protocols.anthropic.decoder import CountTokensRequest, MessagesRequest
from persona_stream.protocols.anthropic.schemas import Message, MessageError, TokenCount
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.chats import RUN_LINKS
from persona_stream.web.openapi.parameters import RUN_HEADERS, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref
from persona_stream.web.openapi.v1 import KNOWN, REFUSED, failures

_DESCRIPTION = """\
Point a client of Anthropic's here (a token as its key). As a stream it gets the events of a message, and `ping` every 2
seconds while the backend is at work. The run can be read again, also in another dialect, under the name in `X-Run-Id`.
What is beyond the backend (tools, pictures, formats, answers that are begun) is refused, and the error names the field.
"""
_SECURITY: list[Node] = [{"key": []}, {"bearer": []}]
_UNCOUNTED = ("NotAcceptable", "Conflict", "Busy")


def paths() -> Node:
    """Describe these addresses."""
    return {"/v1/messages": {"post": _messages()}, "/v1/messages/count_tokens": {"post": _count_tokens()}}


def _messages() -> Node:
    return {
        "operationId": "createMessage",
        "tags": ["Anthropic"],
        "summary": "Go on with a conversation",
        "description": _DESCRIPTION,
        "security": _SECURITY,
        "parameters": parameters("IdempotencyKey", "AcceptLanguage"),
        "requestBody": _body(MessagesRequest, examples.MESSAGES_REQUEST),
        "responses": {
            "200": {
                "description": "The message, or with `stream` its events.",
                "headers": RUN_HEADERS,
                "links": RUN_LINKS,
                "content": {
                    "application/json": {"schema": ref(Message.__name__), "example": examples.message_answer()},
                    "text/event-stream": {
                        "itemSchema": ref("MessageStreamEvent"),
                        "examples": {
                            "answered": {
                                "summary": "A run of 3.5 seconds, as it goes over the wire",
                                "serializedValue": examples.message_events(),
                            }
                        },
                    },
                },
            },
            **refusals(*KNOWN, *REFUSED, in_anthropic=True),
            **failures(MessageError),
        },
    }


def _count_tokens() -> Node:
    refused = [name for name in (*KNOWN, *REFUSED) if name not in _UNCOUNTED]
    count = {"application/json": {"schema": ref(TokenCount.__name__), "example": {"input_tokens": 8}}}
    return {
        "operationId": "countTokens",
        "tags": ["Anthropic"],
        "summary": "Count the tokens of a conversation",
        "description": "Estimated, as where the backend does not count. Nothing is run.",
        "security": _SECURITY,
        "requestBody": _body(CountTokensRequest, examples.COUNT_TOKENS_REQUEST),
        "responses": {
            "200": {"description": "How many there are.", "content": count},
            **refusals(*refused, in_anthropic=True),
        },
    }


def _body(kind: type[CountTokensRequest], example: object) -> Node:
    content = {"application/json": {"schema": ref(kind.__name__), "example": example}}
    return {"required": True, "content": content}
