"""The addresses of OpenAI's protocol."""

from __future__ import annotations

from persona_stream.protocols.openai.decoder import ChatCompletionRequest
from persona_stream.protocols.openai.schemas import ChatCompletion, ErrorBody
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.chats import RUN_LINKS
from persona_stream.web.openapi.parameters import RUN_HEADERS, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref
from persona_stream.web.openapi.v1 import KNOWN, REFUSED, failures

_DESCRIPTION = """\
Point a client of OpenAI's here (`base_url` ending in `/v1`, a token as its key). As a stream it gets chunks; while the
backend is at work comments come every 2 seconds, and an empty chunk every 15. The run can be read again, also in
another dialect, under the name in `X-Run-Id`. What the backend cannot do (tools, formats, pictures), or none here can
(several choices, sound), is refused, and the error names the field.
"""


def paths() -> Node:
    """Describe these addresses."""
    return {"/v1/chat/completions": {"post": _completions()}}


def _completions() -> Node:
    return {
        "operationId": "createChatCompletion",
        "tags": ["OpenAI"],
        "summary": "Go on with a conversation",
        "description": _DESCRIPTION,
        "parameters": parameters("IdempotencyKey", "AcceptLanguage", "Heartbeat"),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ref(ChatCompletionRequest.__name__),
                    "example": examples.COMPLETION_REQUEST,
                }
            },
        },
        "responses": {
            "200": {
                "description": "The completion, or with `stream` its chunks.",
                "headers": RUN_HEADERS,
                "links": RUN_LINKS,
                "content": {
                    "application/json": {
                        "schema": ref(ChatCompletion.__name__),
                        "example": examples.completion_answer(),
                    },
                    "text/event-stream": {
                        "itemSchema": ref("ChatCompletionEvent"),
                        "examples": {
                            "answered": {
                                "summary": "A run of 3.5 seconds, as it goes over the wire",
                                "serializedValue": examples.chunks(),
                            }
                        },
                    },
                },
            },
            **refusals(*KNOWN, *REFUSED, in_openai=True),
            **failures(ErrorBody),
        },
    }
