"""The texts in a message, or in a part of one, in each form that providers have for them."""

from __future__ import annotations

from collections.abc import Mapping


def texts_of(content: object) -> tuple[str, str]:
    """Give the text in a ``content``, and the thoughts that stand beside it."""
    if isinstance(content, str):
        return content, ""
    text, thoughts = "", ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"thinking": str(words)}:
                thoughts += words
            case {"thinking": list(inner)}:
                thoughts += "".join(map(_text, inner))
            case _:
                text += _text(part)
    return text, thoughts


def said_in(message: Mapping[str, object]) -> tuple[str, str]:
    """Give what a message, or a part of one, says, and what it thinks; some say the latter twice, under two names."""
    text, thoughts = texts_of(message.get("content"))
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    for name in ("reasoning_content", "reasoning"):
        reasoning = message.get(name)
        if reasoning and isinstance(reasoning, str):
            return text, reasoning
    return text, thoughts


def _text(part: object) -> str:
    match part:
        case str(words) | {"text": str(words)} | {"refusal": str(words)}:
            return words
        case _:
            return ""
