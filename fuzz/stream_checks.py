"""Check for the completeness of streams in all protocols."""

from __future__ import annotations

import json

from persona_stream.core.sse import ServerSentEvent, SSEDecoder


def check(body: bytes) -> None:
    """Check the body of a stream.

    Raises:
        AssertionError: the stream has no final event, or continues after it.
    """
    endings = [_is_final(event) for event in SSEDecoder().feed(body)]
    assert endings, "the stream has no events"
    assert endings[-1], "the stream has no final event"
    assert not any(endings[:-1]), "the stream continues after its final event"


def _is_final(event: ServerSentEvent) -> bool:
    if event.data == b"[DONE]":
        return True
    data = json.loads(event.data)
    # In Anthropic's protocol an error is the last event; in those that end with [DONE] it is not.
    is_last_error = data.get("type") == "error" and data.keys() == {"type", "error"}
    return data.get("is_complete") is True or data.get("type") == "message_stop" or is_last_error
