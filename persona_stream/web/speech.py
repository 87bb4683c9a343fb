"""Which protocol a request speaks."""

from __future__ import annotations

from flask import Request


def speaks_anthropic(request: Request) -> bool:
    """Tell whether it is Anthropic's: by its address, or by the header that all clients of that protocol send."""
    path = request.path
    if path.startswith("/v1/messages"):
        return True
    return path.startswith("/v1/") and not path.startswith("/v1/chat/") and "anthropic-version" in request.headers


def dialect_of(request: Request) -> str:
    """Name the dialect of a request."""
    if not request.path.startswith("/v1/"):
        return "native"
    return "anthropic" if speaks_anthropic(request) else "openai"
