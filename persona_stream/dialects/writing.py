"""How every dialect writes JSON."""

from __future__ import annotations

import msgspec

from persona_stream.core import sse

_encode_json = msgspec.json.Encoder().encode


def to_json(body: object) -> bytes:
    """Write a body of the wire: compact UTF-8, with what breaks naive clients escaped."""
    return sse.safe_json(_encode_json(body))
