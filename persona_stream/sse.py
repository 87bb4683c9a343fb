"""Server-sent events, as WHATWG's HTML standard defines them, written to bytes."""

from __future__ import annotations

CONTENT_TYPE = "text/event-stream; charset=utf-8"

# Legal inside a line, but naive clients split a text on them as on a newline. Inside JSON an escape says the same.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def safe_json(body: bytes) -> bytes:
    """Escape what naive clients take for the end of a line: U+2028, U+2029 and U+0085."""
    if body.isascii():
        return body
    for raw, escaped in _LINE_ENDS:
        if raw in body:
            body = body.replace(raw, escaped)
    return body


def event(body: bytes, event_id: bytes) -> bytes:
    """Frame one event: ``body`` is JSON, which cannot hold a newline."""
    return b"id: %b\ndata: %b\n\n" % (event_id, body)


def anonymous_event(body: bytes) -> bytes:
    """Frame an event that belongs to no run, as a refusal does."""
    return b"data: %b\n\n" % body


def named_event(body: bytes, name: bytes) -> bytes:
    """Frame an event that has a name, and no id."""
    return b"event: %b\ndata: %b\n\n" % (name, body)


def comment(text: str) -> bytes:
    """Frame a comment of one line, with no blank line after it: some decoders parse an empty event there."""
    return b": %b\n" % " ".join(text.split()).encode("utf-8", "replace")
