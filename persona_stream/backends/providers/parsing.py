"""JSON of strangers."""

from __future__ import annotations

import json

import msgspec


def parse(text: bytes | str) -> object:
    """Give what a text says; ``None`` where it is no JSON.

    Halves of surrogate pairs are taken, and so are numbers that are none: one odd field shall not cost the rest.
    """
    try:
        # Several times as fast, and stricter.
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
