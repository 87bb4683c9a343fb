"""Which forms of answer a client takes.

Which protocol a request speaks.
"""

from __future__ import annotations

from flask import Request

from persona_stream.errors import NotAcceptable


def require_event_stream(request: Request) -> None:
    """Let a client read our events.

    ``application/json`` passes too: many HTTP libraries send it by default, and read the stream all the same.

    Raises:
        NotAcceptable: it takes neither.
    """
    best = request.accept_mimetypes.best_match(("text/event-stream", "application/json"))
    if request.headers.get("Accept") and best is None:
        raise NotAcceptable("Accept: must include text/event-stream")


def is_anthropic(request: Request) -> bool:
    """Tell whether it is Anthropic's: by its address, or by the header that all clients of that protocol send."""
    path = request.path
    if path.startswith("/v1/messages"):
        return True
    return path.startswith("/v1/") and not path.startswith("/v1/chat/") and "anthropic-version" in request.headers


def protocol_of(request: Request) -> str:
    """Name the dialect of a request."""
    if not request.path.startswith("/v1/"):
        return "native"
    return "anthropic" if is_anthropic(request) else "openai"
