"""Token latencies of a stream."""

from __future__ import annotations

import json

from bench.listener import lateness
from bench.provider import WIDTH


def chunk(text: str) -> bytes:
    return b'data: {"id":"c",%b\n\n' % json.dumps({"choices": [{"delta": {"content": text}}]}).encode()[1:]


def token(at: int) -> str:
    return f"{at:0{WIDTH}d} "


def test_a_token_is_received_with_its_digits():
    """For any split of the stream, also if the space after it arrives later."""
    first, second = token(1_000_000), token(1_010_000)
    whole = chunk(first[:-1]) + chunk(" " + second)
    for cut in range(1, len(whole)):
        reads = [(1_005_000, whole[:cut]), (1_025_000, whole[cut:])]
        began, late = lateness(990_000, reads)
        assert len(late) == 2
        assert late[1] in (15.0, -5.0)
        assert (late[0], began) in ((5.0, 15.0), (25.0, 35.0))
    assert lateness(990_000, [(1_005_000, chunk(first[:-1])), (1_025_000, chunk(" " + second))]) == (15.0, [5.0, 15.0])


def test_other_data_is_not_counted_as_a_token():
    """Comments, empty deltas and incomplete tokens."""
    role = b'data: {"id":"c","choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    reads = [(5, b": processing 0.0s 5% ...\n"), (6, role), (7, chunk("00000"))]
    assert lateness(0, reads) == (0.0, [])
