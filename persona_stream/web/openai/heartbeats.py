"""What a reader of OpenAI's wire hears while the backend is at work."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Request

from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai.encoder import Heartbeat
from persona_stream.settings.schema import Settings

_HEADER = "X-Persona-Heartbeat"
_KINDS: Mapping[str, Heartbeat] = {"comment": "comment", "delta": "delta", "off": "off"}


def heartbeat(request: Request, settings: Settings) -> Heartbeat:
    """Choose: comments, unless the client wishes otherwise and may.

    Raises:
        InvalidRequest: it wishes for what there is not.
    """
    wish = request.headers.get(_HEADER)
    if wish is None or not settings.heartbeat_override:
        return "comment"
    if wish not in _KINDS:
        raise InvalidRequest(f"{_HEADER}: is none of {', '.join(_KINDS)}", _HEADER)
    return _KINDS[wish]
