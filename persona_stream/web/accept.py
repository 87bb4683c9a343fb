"""Which forms of answer a client takes."""

from __future__ import annotations

from flask import Request

from persona_stream.errors import NotAcceptable


def check_streamable(request: Request) -> None:
    """Let a client read our events.

    ``application/json`` passes too: many HTTP libraries send it by default, and read the stream all the same.

    Raises:
        NotAcceptable: it takes neither.
    """
    best = request.accept_mimetypes.best_match(("text/event-stream", "application/json"))
    if request.headers.get("Accept") and best is None:
        raise NotAcceptable("Accept: must include text/event-stream")
