"""A run as one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from persona_stream.core import i18n as messages
from persona_stream.core.facts import Answered, Entry, Failed
from persona_stream.core.snapshot import summarize
from persona_stream.core.usage import usage_of
from persona_stream.dialects.anthropic.blocks import SIGNATURE, arguments, ending, message_id, other_blocks, usage
from persona_stream.dialects.anthropic.errors import failure
from persona_stream.dialects.anthropic.frames import Message, TextBlock, ThinkingBlock, ToolUseBlock
from persona_stream.dialects.statuses import status_of


def message(entries: Sequence[Entry]) -> tuple[int, Any]:
    """Give the HTTP status and the body that an ended run is answered with, a ``Message`` or a ``MessageError``."""
    summary = summarize(entries)
    run, answered = summary.run, summary.ending
    if isinstance(answered, Failed):
        told = messages.failure(answered.code, answered.text, run.locale)
        return status_of(answered.code), failure(answered.code, told)
    if not isinstance(answered, Answered):
        raise TypeError(f"run {run.run_id} has not ended")
    body = Message(
        id=message_id(run.run_id),
        model=run.username,
        content=_content(summary.reasoning, summary.text, answered),
        usage=usage(usage_of(entries), answered),
    )
    return 200, msgspec.to_builtins(body) | msgspec.to_builtins(ending(answered))


def _content(thoughts: str, text: str, answered: Answered) -> list[Any]:
    return [
        *([ThinkingBlock(thinking=thoughts, signature=SIGNATURE)] if thoughts else []),
        *([TextBlock(text=text)] if text else []),
        *other_blocks(answered),
        *(ToolUseBlock(id=call.id, name=call.name, input=arguments(call)[1]) for call in answered.calls),
    ]
