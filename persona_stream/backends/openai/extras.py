"""What a provider says beyond our own words; clients of its dialect get it where it was."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from persona_stream.core.content import Extras

OURS_IN_MESSAGE = frozenset(
    {"role", "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning"}
)
_OURS_IN_BODY = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_OURS_IN_USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def extras_of(message: Mapping[str, Any], body: Mapping[str, Any]) -> Extras | None:
    """Give the fields that are not ours, by where they are; ``None``, where there are none."""
    fields = {
        "message": _others(message, OURS_IN_MESSAGE),
        "completion": _others(body, _OURS_IN_BODY),
        "usage": _others(body.get("usage"), _OURS_IN_USAGE),
    }
    found = {place: others for place, others in fields.items() if others}
    return Extras("openai", found) if found else None


def _others(said: object, ours: Set[str]) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        return {}
    return {name: value for name, value in said.items() if name not in ours and value is not None}
