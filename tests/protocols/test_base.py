"""Tests of what all protocols share."""

from __future__ import annotations

import msgspec

from persona_stream.protocols.base import dump_json, dump_long_json


class _Body(msgspec.Struct, omit_defaults=True):
    text: str
    parts: tuple[object, ...] = ()
    left_out: int | msgspec.UnsetType = msgspec.UNSET


def test_long_texts_are_encoded_like_short_ones() -> None:
    """Wherever they are in a body."""
    long = '"Quotes" and \u2028, \x01 and 字 \\ ' * 20_000
    body = _Body(long, ({"content": long, "n": 1.5}, [long, None], "short"))
    assert dump_long_json(body) == dump_json(body)
