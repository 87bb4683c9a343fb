"""The addresses of runs."""

from __future__ import annotations

from persona_stream.core.projection import SMART
from persona_stream.protocols.native.responses import RunList, RunView
from persona_stream.web.openapi import examples
from persona_stream.web.openapi.parameters import RUN_HEADERS, header, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref

_KNOWN = ("Unauthorized", "Forbidden", "Internal", "Unavailable")
_FOUND = (*_KNOWN, "NoRun", "Gone")


# As the parameter `dialect` says.
_DIALECTS = ("Run", "ChatCompletion", "MessageStream")


def paths() -> Node:
    """Describe these addresses."""
    return {
        "/api/runs": {"get": _list()},
        "/api/runs/{run_id}": {"parameters": parameters("RunId"), "get": _show()},
        "/api/runs/{run_id}/cancel": {"parameters": parameters("RunId"), "post": _cancel()},
        "/api/runs/{run_id}/events": {"parameters": parameters("RunId"), "get": _read()},
    }


def _list() -> Node:
    return {
        "operationId": "listRuns",
        "tags": ["Runs"],
        "summary": "List your runs",
        "description": "Newest first.",
        "parameters": parameters("Limit", "Before"),
        "responses": {
            "200": {
                "description": "A page of runs.",
                "content": {"application/json": {"schema": ref(RunList.__name__), "example": examples.runs()}},
            },
            **refusals(*_KNOWN, "InvalidRequest"),
        },
    }


def _show() -> Node:
    return {
        "operationId": "showRun",
        "tags": ["Runs"],
        "summary": "See how far a run is, and its answer",
        "responses": {"200": _view("The run as it stands."), **refusals(*_FOUND)},
    }


def _cancel() -> Node:
    return {
        "operationId": "cancelRun",
        "tags": ["Runs"],
        "summary": "Cancel a run",
        "description": "A run that has ended stays as it is.",
        "responses": {"200": _view("The run as it stands now."), **refusals(*_FOUND)},
    }


def _view(description: str) -> Node:
    return {
        "description": description,
        "headers": {"Retry-After": header("RetryAfterIfUseful")},
        "content": {
            "application/json": {
                "schema": ref(RunView.__name__),
                "examples": {
                    "underWay": {"summary": "Two seconds into it", "dataValue": examples.run(answered=False)},
                    "answered": {"summary": "Answered", "dataValue": examples.run(answered=True)},
                },
            }
        },
    }


def _read() -> Node:
    return {
        "operationId": "readRun",
        "tags": ["Runs"],
        "summary": "Read the stream of a run, from any position",
        "description": (
            "From the beginning, or from where you are: every character of the answer comes exactly once, in whatever"
            " style and language it is read. What is overdue comes at once; past progress is not told again. Open to"
            " the caller that started the run, and to whoever has its ticket."
        ),
        "security": [{"bearer": []}, {"ticket": []}],
        "parameters": parameters(
            "LastEventId", "LastEventIdInQuery", "From", "Style", "Locale", "Dialect", "Heartbeat", "PersonaResume"
        ),
        "responses": {
            "200": {
                "description": "The rest of the stream.",
                "headers": RUN_HEADERS,
                "content": {
                    "text/event-stream": {
                        "itemSchema": {"anyOf": [ref(f"{name}Event") for name in _DIALECTS]},
                        "examples": {
                            "fromTheBeginning": {
                                "summary": "A run of style smart, from its beginning",
                                "serializedValue": examples.stream(SMART),
                            }
                        },
                    }
                },
            },
            "204": {"description": "You have all that there will ever be. `EventSource` stops reconnecting on this."},
            **refusals(*_FOUND, "InvalidRequest", "NotAcceptable", on_stream=True),
        },
    }
