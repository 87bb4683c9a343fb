"""Check for the completeness of streams."""

from __future__ import annotations

import pytest

from fuzz import stream_checks

WHOLE = [
    b'id: r/1.0\ndata: {"status":"connecting"}\n\nid: r/4.0\ndata: {"status":"complete","is_complete":true}\n\n',
    b'data: {"success":false,"code":"unauthorized","is_complete":true}\n\n',
    b'data: {"choices":[]}\n\n: processing 0.0s\ndata: {"choices":[]}\n\ndata: [DONE]\n\n',
    b'event: ping\ndata: {"type":"ping"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'event: message_start\ndata: {"type":"message_start"}\n\nevent: error\ndata: {"type":"error","error":{}}\n\n',
    b'event: error\ndata: {"type":"error","sequence_number":9,"error":{}}\n\nevent: response.failed\n'
    b'data: {"type":"response.failed"}\n\ndata: [DONE]\n\n',
    b'data: {"type":"error","errorText":"It broke."}\n\ndata: {"type":"finish"}\n\ndata: [DONE]\n\n',
]


@pytest.mark.parametrize("body", WHOLE)
def test_a_complete_stream_passes(body: bytes) -> None:
    """In all protocols, also if it consists of an error."""
    stream_checks.check(body)


@pytest.mark.parametrize("body", [*WHOLE[:1], *WHOLE[2:]])
def test_a_truncated_stream_fails(body: bytes) -> None:
    """Without its final event."""
    with pytest.raises(AssertionError, match="no final event"):
        stream_checks.check(body[: body.rindex(b"data:")])


@pytest.mark.parametrize("body", WHOLE)
def test_a_stream_that_continues_fails(body: bytes) -> None:
    """Events after the final one are an error."""
    with pytest.raises(AssertionError, match="continues"):
        stream_checks.check(body + body)


def test_a_stream_without_events_fails() -> None:
    """A comment is not an event."""
    with pytest.raises(AssertionError, match="no events"):
        stream_checks.check(b": hello\n\n")
