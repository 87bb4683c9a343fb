"""OpenAI's dialect: chunks of a chat completion, and comments while the backend is at work.

A run as one completion.

What a provider of this dialect says beyond our own words.

In ``Extras.fields`` are ``message`` (fields of the answer's message), ``completion`` (fields of the body, or of a
stream's chunks) and ``usage`` (fields beside the tokens).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET

from persona_stream.core import sse
from persona_stream.core.events import (
    AnswerReady,
    Completed,
    Event,
    Progress,
    QueuePosition,
    ReasoningChunk,
    RunFailed,
    RunOpened,
    TextChunk,
)
from persona_stream.core.facts import Answered, Entry, Failed, run_terms
from persona_stream.core.i18n import error_text
from persona_stream.core.query import Usage
from persona_stream.core.snapshot import take_snapshot
from persona_stream.core.usage import run_usage
from persona_stream.protocols.base import dump_json, http_status_for, merge_fields, provider_fields_for
from persona_stream.protocols.openai.schemas import (
    FINISH_REASONS,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatMessage,
    ChunkChoice,
    CompletionUsage,
    FinishReason,
    failure_body,
    function_call,
    function_call_delta,
)

Place = Literal["message", "completion", "usage"]


def provider_fields(answered: Answered, place: Place) -> Mapping[str, Any]:
    """Give what belongs there; nothing, where the provider speaks another dialect."""
    return provider_fields_for(answered, "openai", place)


def with_provider_fields(frame: msgspec.Struct, answered: Answered, place: Place) -> Any:
    """Give a frame with what belongs there; what we say ourselves stands."""
    return merge_fields(frame, provider_fields(answered, place))


Heartbeat = Literal["comment", "delta", "off"]

# Comments do not count for clients that give up when no chunk has come for two minutes.
_BEAT = 15.0  # seconds

_DONE = b"data: [DONE]\n\n"


def completion_id(run_id: str) -> str:
    """Give the id that a run has on this wire."""
    return f"chatcmpl-{run_id}"


def completion_usage(usage: Usage) -> CompletionUsage:
    """Give the tokens their form. This wire has no place to say that they are estimated."""
    return CompletionUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


class OpenAIEncoder:
    """Give events OpenAI's form, for one reader of one run."""

    name: ClassVar = "openai"

    __slots__ = ("_beats", "_created", "_entries", "_heartbeat", "_id", "_include_usage", "_model")

    def __init__(
        self, entries: Sequence[Entry], *, include_usage: bool = False, heartbeat: Heartbeat = "comment"
    ) -> None:
        """Speak of one run.

        Args:
            entries: its journal, which may grow meanwhile.
            include_usage: whether the reader asked for a last chunk with the tokens.
            heartbeat: what it gets while the backend is at work.
        """
        self._entries, self._include_usage, self._heartbeat = entries, include_usage, heartbeat
        run = run_terms(entries)
        self._id, self._created, self._model = completion_id(run.run_id), int(entries[0].at), run.username
        self._beats: int | None = None  # how many were due when the reader last heard

    def encode(self, event: Event) -> bytes:
        """Frame an event."""
        match event:
            case TextChunk(text=text):
                return self._delta(ChatDelta(content=text))
            case Progress(elapsed=elapsed, percent=percent, message=message):
                return self._alive(elapsed, f"processing {elapsed:.1f}s {percent}% {message}")
            case QueuePosition(elapsed=elapsed, place=place):
                return self._alive(elapsed, f"queued {elapsed:.1f}s {place}")
            case RunOpened():
                return self._delta(ChatDelta(role="assistant", content=""))
            case AnswerReady():
                return b""
            case ReasoningChunk(text=text):
                return self._delta(ChatDelta(reasoning_content=text))
            case Completed(ending=ending):
                return self._ending(ending) + _DONE
            case RunFailed(code=code, message=message):
                return sse.anonymous_event(dump_json(failure_body(code, message))) + _DONE

    def _alive(self, elapsed: float, text: str) -> bytes:
        if self._heartbeat == "off":
            return b""
        beats = int(elapsed / _BEAT)
        is_due, self._beats = self._beats is not None and beats > self._beats, beats
        if self._heartbeat == "delta":
            return self._delta(ChatDelta())
        comment = sse.comment(text)
        return comment + self._delta(ChatDelta()) if is_due else comment

    def _ending(self, answered: Answered) -> bytes:
        frames = [
            self._delta(ChatDelta(tool_calls=[function_call_delta(index, call)]))
            for index, call in enumerate(answered.calls)
        ]
        own = ChatDelta.__struct_fields__
        if more := {name: value for name, value in provider_fields(answered, "message").items() if name not in own}:
            frames.append(self._chunk([{"index": 0, "delta": more, "logprobs": None, "finish_reason": None}]))
        last = self._choice(ChatDelta(), FINISH_REASONS[answered.finish])
        frames.append(self._chunk([last], answered=answered))
        if self._include_usage:
            usage = with_provider_fields(completion_usage(run_usage(self._entries)), answered, "usage")
            frames.append(self._chunk([], usage))
        return b"".join(frames)

    def _delta(self, delta: ChatDelta) -> bytes:
        return self._chunk([self._choice(delta)])

    def _choice(self, delta: ChatDelta, finish_reason: FinishReason | None = None) -> ChunkChoice:
        return ChunkChoice(delta=delta, finish_reason=finish_reason)

    def _chunk(self, choices: list[Any], usage: Any = None, answered: Answered | None = None) -> bytes:
        chunk = ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage if self._include_usage else UNSET,
        )
        body = with_provider_fields(chunk, answered, "completion") if answered else chunk
        return sse.anonymous_event(dump_json(body))


def completion_response(entries: Sequence[Entry]) -> tuple[int, Any]:
    """Give the HTTP status and the body that an ended run is answered with, a ``ChatCompletion`` or ``ErrorBody``."""
    summary = take_snapshot(entries)
    run = summary.run
    if isinstance(summary.ending, Failed):
        code = summary.ending.code
        return http_status_for(code), failure_body(code, error_text(code, summary.ending.text, run.locale))
    ending = summary.ending
    if not isinstance(ending, Answered):
        raise TypeError(f"run {run.run_id} has not ended")
    message = ChatMessage(
        content=summary.text or (None if ending.calls else ""),
        reasoning_content=summary.reasoning or UNSET,
        tool_calls=[function_call(call) for call in ending.calls] or UNSET,
    )
    choice = ChatChoice(
        message=with_provider_fields(message, ending, "message"), finish_reason=FINISH_REASONS[ending.finish]
    )
    body = ChatCompletion(
        id=completion_id(run.run_id),
        created=int(summary.accepted_at),
        model=run.username,
        choices=[choice],
        usage=with_provider_fields(completion_usage(run_usage(entries)), ending, "usage"),
    )
    return 200, with_provider_fields(body, ending, "completion")
