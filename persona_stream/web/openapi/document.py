"""The whole document: OpenAPI 3.2, in which events are described one by one (``itemSchema``)."""

from __future__ import annotations

from persona_stream import __version__
from persona_stream.web.openapi import anthropic, chats, conversations, dashboard, openai, others, runs, v1
from persona_stream.web.openapi.parameters import HEADERS, PARAMETERS, SECURITY
from persona_stream.web.openapi.refusals import responses
from persona_stream.web.openapi.schemas import Node, schemas

_ABOUT = """\
Ask a persona, and read along while it works: progress from the first moment, then the answer piece by piece.

**Streams** are server-sent events: an `id:` line, one `data:` line of JSON, a blank line. The `status` in the JSON
says what the event is. Exactly one event has `is_complete` true, and it is the last one: `complete`, or `error`,
`timeout` or `cancelled`. A stream that ends without it was cut off: read on.

**Runs outlive their connections.** The first event names the run and says how often it will be heard of. After a cut,
`GET /api/runs/{run_id}/events` with the last `id` as `Last-Event-ID` gives exactly the rest.

**Refusals** come before the first byte, with their true status. On streams their body is one event, so that one parser
serves, or the same object as JSON where `Accept` prefers `application/json`; elsewhere it is JSON. An address that
exists answers 405, with `Allow`, to a method that it does not have. Fields that you do not know may come: ignore them.
"""
_TAGS = {
    "Streams": "Ask, and read the answer as it comes.",
    "OpenAI": "For clients of OpenAI's, as they are.",
    "Anthropic": "For clients of Anthropic's, as they are.",
    "Runs": "Read a run again, look at it, cancel it.",
    "Conversations": "What was said before, for whoever said it.",
    "Personas": "Who answers here.",
    "Dashboard": "What the server does and did, for whoever runs it.",
    "Operations": "What a supervisor and a load balancer ask.",
    "Pages": "For people, in a browser.",
}


def build() -> Node:
    """Give the document."""
    paths: Node = {}
    for part in (chats, openai, anthropic, v1, runs, conversations, dashboard, others):
        paths |= part.paths()
    return {
        "openapi": "3.2.0",
        "info": {
            "title": "persona_stream",
            "summary": "Any blocking function as a live, honest, resumable stream.",
            "description": _ABOUT,
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "security": [{"bearer": []}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": responses(),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "links": chats.LINKS,
            "securitySchemes": SECURITY,
        },
    }
