"""Whether a stream was told to its end, in any of the three protocols."""

from __future__ import annotations

import json

from persona_stream.core.sse import ServerSentEvent, SSEDecoder


def check(body: bytes) -> None:
    """Look at all that came.

    Raises:
        AssertionError: it has no ending, or goes on after it.
    """
    endings = [_ends(event) for event in SSEDecoder().feed(body)]
    assert endings, "a stream without any event"
    assert endings[-1], "a stream without an ending"
    assert not any(endings[:-1]), "a stream that goes on after its ending"


def _ends(event: ServerSentEvent) -> bool:
    if event.data == b"[DONE]":
        return True
    told = json.loads(event.data)
    return told.get("is_complete") is True or told.get("type") in ("message_stop", "error")
