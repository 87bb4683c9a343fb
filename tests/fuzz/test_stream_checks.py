"""Whether a stream was told to its end."""

from __future__ import annotations

import pytest

from fuzz import stream_checks as wholeness

WHOLE = [
    b'id: r/1.0\ndata: {"status":"connecting"}\n\nid: r/4.0\ndata: {"status":"complete","is_complete":true}\n\n',
    b'data: {"success":false,"code":"unauthorized","is_complete":true}\n\n',
    b'data: {"choices":[]}\n\n: processing 0.0s\ndata: {"choices":[]}\n\ndata: [DONE]\n\n',
    b'event: ping\ndata: {"type":"ping"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'event: message_start\ndata: {"type":"message_start"}\n\nevent: error\ndata: {"type":"error","error":{}}\n\n',
]


@pytest.mark.parametrize("body", WHOLE)
def test_a_whole_stream_passes(body: bytes) -> None:
    """In each of the three protocols, also where it is nothing but a refusal."""
    wholeness.check(body)


@pytest.mark.parametrize("body", [*WHOLE[:1], *WHOLE[2:]])
def test_a_stream_that_was_cut_is_found(body: bytes) -> None:
    """Whatever is missing at its end."""
    with pytest.raises(AssertionError, match="without"):
        wholeness.check(body[: body.rindex(b"data:")])


@pytest.mark.parametrize("body", WHOLE)
def test_a_stream_that_goes_on_is_found(body: bytes) -> None:
    """There is one ending, and nothing after it."""
    with pytest.raises(AssertionError, match="goes on"):
        wholeness.check(body + body)


def test_silence_is_found() -> None:
    """A comment is no event."""
    with pytest.raises(AssertionError, match="without any event"):
        wholeness.check(b": hello\n\n")
