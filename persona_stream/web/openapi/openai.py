"""The addresses of OpenAI's protocol."""

from __future__ import annotations

from persona_stream.dialects.openai.frames import ChatCompletion, ErrorBody, Model, ModelList
from persona_stream.web.openai.requests import ChatCompletionRequest
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.parameters import RUN_HEADERS, header, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref

_KNOWN = ("Unauthorized", "Forbidden", "Internal", "Unavailable")
_REFUSED = ("InvalidRequest", "NoModel", "NotAcceptable", "Conflict", "TooLarge", "UnsupportedMediaType", "Busy")
_DESCRIPTION = """\
Point a client of OpenAI's here (`base_url` ending in `/v1`, a token as its key). As a stream it gets chunks; while the
backend is at work comments come every 2 seconds, and an empty chunk every 15. The run can be read again, also in
another dialect, under the name in `X-Run-Id`. What no backend here can do (several choices, tools, formats, pictures,
sound) is refused, and the error names the field.
"""


def paths() -> Node:
    """Describe these addresses."""
    return {
        "/v1/chat/completions": {"post": _completions()},
        "/v1/models": {"get": _models()},
        "/v1/models/{model}": {"parameters": parameters("Model"), "get": _model()},
    }


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
            **refusals(*_KNOWN, *_REFUSED, in_openai=True),
            **_failures(),
        },
    }


def _failures() -> Node:
    """Describe the statuses that a run without an answer ends with, where its client waits for the whole."""
    return {
        "409": _failure("The run was cancelled, or the idempotency key was used with another endpoint or body."),
        "500": _failure("The backend failed, or its answer is over the limit (`answer_too_large`)."),
        "502": _failure("The backend says why there is no answer (`backend_error`), or its process died (`lost`)."),
        "504": _failure("The deadline passed (`timeout`)."),
    }


def _failure(description: str) -> Node:
    return {
        "description": description,
        "headers": {"X-Run-Id": header("RunIdIfStarted"), "x-should-retry": header("ShouldRetry")},
        "content": {"application/json": {"schema": ref(ErrorBody.__name__)}},
    }


def _models() -> Node:
    return _found("listModels", "List the models: the personas that answer here", ModelList, *_KNOWN)


def _model() -> Node:
    return _found("retrieveModel", "See whether there is a model", Model, *_KNOWN, "NoModel")


def _found(name: str, summary: str, kind: type[Model | ModelList], *refused: str) -> Node:
    content = {"application/json": {"schema": ref(kind.__name__), "example": examples.MODELS[kind.__name__]}}
    return {
        "operationId": name,
        "tags": ["OpenAI"],
        "summary": summary,
        "responses": {
            "200": {"description": "What there is.", "content": content},
            **refusals(*refused, in_openai=True),
        },
    }
