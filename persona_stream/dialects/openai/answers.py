"""A run as one completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from persona_stream import messages
from persona_stream.dialects.openai import completion_id, completion_usage
from persona_stream.dialects.openai.errors import failure
from persona_stream.dialects.openai.frames import ChatChoice, ChatCompletion, ChatMessage, ErrorBody
from persona_stream.facts import Entry, Failed, FailureCode, Reasoned
from persona_stream.summary import summarize
from persona_stream.usage import usage_of

_HTTP_STATUS: Mapping[FailureCode, int] = {
    "timeout": 504,
    "backend_error": 502,
    "lost": 502,
    "cancelled": 409,
    "draining": 503,
}


def completion(entries: Sequence[Entry]) -> tuple[int, ChatCompletion | ErrorBody]:
    """Give the HTTP status and the body that an ended run is answered with."""
    summary = summarize(entries)
    run = summary.run
    if isinstance(summary.ending, Failed):
        code = summary.ending.code
        return _HTTP_STATUS.get(code, 500), failure(code, messages.failure(code, summary.ending.text, run.locale))
    reasoning = "".join(entry.fact.text for entry in entries if isinstance(entry.fact, Reasoned))
    message = ChatMessage(content=summary.text, reasoning_content=reasoning or UNSET)
    return 200, ChatCompletion(
        id=completion_id(run.run_id),
        created=int(summary.accepted_at),
        model=run.username,
        choices=[ChatChoice(message=message)],
        usage=completion_usage(usage_of(entries)),
    )
