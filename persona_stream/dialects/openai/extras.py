"""What a provider of this dialect says beyond our own words.

In ``Extras.fields`` are ``message`` (fields of the answer's message), ``completion`` (fields of the body, or of a
stream's chunks) and ``usage`` (fields beside the tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from persona_stream.core.facts import Answered
from persona_stream.dialects import extras

Place = Literal["message", "completion", "usage"]


def extras_of(answered: Answered, place: Place) -> Mapping[str, Any]:
    """Give what belongs there; nothing, where the provider speaks another dialect."""
    return extras.extras_of(answered, "openai", place)


def with_extras(frame: msgspec.Struct, answered: Answered, place: Place) -> Any:
    """Give a frame with what belongs there; what we say ourselves stands."""
    return extras.with_fields(frame, extras_of(answered, place))
