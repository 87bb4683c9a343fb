"""What a provider says beyond our own words, put back where it was, for clients that speak its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from persona_stream.core.facts import Answered


def extras_of(answered: Answered, dialect: Literal["openai", "anthropic"], place: str) -> Mapping[str, Any]:
    """Give what belongs at a place; nothing, where the provider speaks another dialect."""
    if answered.extras is None or answered.extras.dialect != dialect:
        return {}
    found = answered.extras.fields.get(place)
    return found if isinstance(found, Mapping) else {}


def with_fields(frame: msgspec.Struct, fields: Mapping[str, Any]) -> Any:
    """Give a frame with more fields; what we say ourselves stands."""
    if not fields:
        return frame
    own = msgspec.to_builtins(frame)
    return {**own, **{name: value for name, value in fields.items() if own.get(name) is None}}
