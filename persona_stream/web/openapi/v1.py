"""What the addresses of OpenAI's and Anthropic's protocols share: the models, and how a run without an answer ends."""

from __future__ import annotations

from msgspec import Struct

from persona_stream.protocols.anthropic.schemas import ModelInfo, ModelInfoList
from persona_stream.protocols.openai.schemas import Model, ModelList
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.parameters import header, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref

KNOWN = ("Unauthorized", "Forbidden", "Internal", "Unavailable")
REFUSED = ("InvalidRequest", "NoModel", "NotAcceptable", "Conflict", "TooLarge", "UnsupportedMediaType", "Busy")

_SHAPE = "With an `anthropic-version` header it has the shape of Anthropic's protocol, else that of OpenAI's."


def paths() -> Node:
    """Describe the addresses of the models."""
    models = _found("listModels", "List the models: the personas that answer here", (ModelList, ModelInfoList), *KNOWN)
    model = _found("retrieveModel", "See whether there is a model", (Model, ModelInfo), *KNOWN, "NoModel")
    return {
        "/v1/models": {"get": models},
        "/v1/models/{model}": {"parameters": parameters("Model"), "get": model},
    }


def failures(error: type[Struct]) -> Node:
    """Describe the statuses that a run without an answer ends with, where its client waits for the whole.

    Args:
        error: the body that the protocol has for it.
    """
    texts = {
        "409": "The run was cancelled, or the idempotency key was used with another endpoint or body.",
        "500": "The backend failed, or its answer is over the limit (`answer_too_large`).",
        "502": "The backend says why there is no answer (`backend_error`), or its process died (`lost`).",
        "504": "The deadline passed (`timeout`).",
    }
    return {status: _failure(text, error) for status, text in texts.items()}


def _failure(description: str, error: type[Struct]) -> Node:
    return {
        "description": description,
        "headers": {"X-Run-Id": header("RunIdIfStarted"), "x-should-retry": header("ShouldRetry")},
        "content": {"application/json": {"schema": ref(error.__name__)}},
    }


def _found(name: str, summary: str, kinds: tuple[type[Struct], ...], *refused: str) -> Node:
    shapes = [kind.__name__ for kind in kinds]
    return {
        "operationId": name,
        "tags": ["OpenAI", "Anthropic"],
        "summary": summary,
        "description": _SHAPE,
        "parameters": parameters("AnthropicVersion"),
        "responses": {
            "200": {
                "description": "What there is.",
                "content": {
                    "application/json": {
                        "schema": {"oneOf": [ref(shape) for shape in shapes]},
                        "examples": {shape: {"dataValue": examples.MODELS[shape]} for shape in shapes},
                    }
                },
            },
            **refusals(*refused, in_openai=True, in_anthropic=True),
        },
    }
