"""A run as one completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from persona_stream.core import i18n as messages
from persona_stream.core.facts import Answered, Entry, Failed
from persona_stream.core.snapshot import summarize
from persona_stream.core.usage import usage_of
from persona_stream.dialects.openai import completion_id, completion_usage
from persona_stream.dialects.openai.errors import failure
from persona_stream.dialects.openai.extras import with_extras
from persona_stream.dialects.openai.frames import FINISH_REASONS, ChatChoice, ChatCompletion, ChatMessage, function_call
from persona_stream.dialects.statuses import status_of


def completion(entries: Sequence[Entry]) -> tuple[int, Any]:
    """Give the HTTP status and the body that an ended run is answered with, a ``ChatCompletion`` or ``ErrorBody``."""
    summary = summarize(entries)
    run = summary.run
    if isinstance(summary.ending, Failed):
        code = summary.ending.code
        return status_of(code), failure(code, messages.failure(code, summary.ending.text, run.locale))
    ending = summary.ending
    if not isinstance(ending, Answered):
        raise TypeError(f"run {run.run_id} has not ended")
    message = ChatMessage(
        content=summary.text or (None if ending.calls else ""),
        reasoning_content=summary.reasoning or UNSET,
        tool_calls=[function_call(call) for call in ending.calls] or UNSET,
    )
    choice = ChatChoice(message=with_extras(message, ending, "message"), finish_reason=FINISH_REASONS[ending.finish])
    body = ChatCompletion(
        id=completion_id(run.run_id),
        created=int(summary.accepted_at),
        model=run.username,
        choices=[choice],
        usage=with_extras(completion_usage(usage_of(entries)), ending, "usage"),
    )
    return 200, with_extras(body, ending, "completion")
