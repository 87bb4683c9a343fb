"""The AI SDK's UI message stream protocol: parts of one message, with transient progress.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol (data stream protocol), version ``v1``.

Invariants, from whichever position a subscriber starts:

- ``start`` and ``start-step`` are the first parts.
- Text and reasoning have a start and an end, and do not overlap; after a failure they may have no end.
- The stream ends with ``finish``, ``error`` or ``abort``, and with ``[DONE]``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET

from persona_stream.core import events, facts, i18n, query, sse
from persona_stream.core.content import ToolCall
from persona_stream.protocols import base
from persona_stream.protocols.ai_sdk_ui import schemas

_TEXT_ID = "text"
_REASONING_ID = "reasoning"


class AISDKUIEncoder:
    """Encoder of the parts of one message for one subscriber.

    Args:
        entries: Journal of the run.
        locale: Language of status texts.
        message_id: Id of the client's message that the answer continues; empty for a new message.
    """

    __slots__ = ("_has_started", "_locale", "_message_id", "_open_part")

    def __init__(self, entries: Sequence[facts.Entry], locale: query.Locale, message_id: str = "") -> None:
        self._locale = locale
        self._message_id = message_id or _message_id(facts.run_terms(entries).run_id)
        self._has_started = False
        self._open_part = ""  # id of the text or the reasoning that is open

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event; the start of the message precedes the first one."""
        messages = [sse.ServerSentEvent(base.dump_json(part)) for part in self._parts(event)]
        if isinstance(event, events.Completed | events.RunFailed):
            messages.append(base.DONE)
        return messages

    def _parts(self, event: events.Event) -> Iterator[schemas.StreamPart]:
        if not self._has_started:
            self._has_started = True
            yield schemas.StartPart(message_id=self._message_id)
            yield schemas.StartStepPart()
        match event:
            case events.TextChunk(text=text):
                yield from self._enter(_TEXT_ID)
                yield schemas.TextDeltaPart(id=_TEXT_ID, delta=text)
            case events.Progress(message=message, percent=percent, elapsed=elapsed, eta=eta):
                yield _progress(message, percent, elapsed, eta)
            case events.QueuePosition(queue_position=position, elapsed=elapsed):
                yield _progress(i18n.queued_text(self._locale, position), 0, elapsed)
            case events.AnswerReady(seconds=seconds):
                yield _progress(i18n.answered_text(self._locale, seconds), 100, seconds)
            case events.ReasoningChunk(text=text):
                yield from self._enter(_REASONING_ID)
                yield schemas.ReasoningDeltaPart(id=_REASONING_ID, delta=text)
            case events.RunOpened() | events.ProviderChunk() | events.ToolCalled():
                pass
            case events.Completed(ending=answered):
                yield from self._leave()
                for call in answered.calls:
                    yield _tool_input(call)
                yield schemas.FinishStepPart()
                yield schemas.FinishPart(finish_reason=schemas.FINISH_REASONS[answered.finish])
            case events.RunFailed(code="cancelled", message=message):
                yield schemas.AbortPart(reason=message)
            case events.RunFailed(message=message):
                yield schemas.ErrorPart(error_text=message)

    def _enter(self, part: str) -> Iterator[schemas.StreamPart]:
        """Start a text or a reasoning unless it is open."""
        if self._open_part != part:
            yield from self._leave()
            self._open_part = part
            yield schemas.TextStartPart(id=part) if part == _TEXT_ID else schemas.ReasoningStartPart(id=part)

    def _leave(self) -> Iterator[schemas.StreamPart]:
        """End the open text or reasoning, if there is one."""
        part = self._open_part
        if part:
            self._open_part = ""
            yield schemas.TextEndPart(id=part) if part == _TEXT_ID else schemas.ReasoningEndPart(id=part)


def _message_id(run_id: str) -> str:
    return f"msg_{run_id}"


def _progress(message: str, percent: int, elapsed: float, eta: float | None = None) -> schemas.ProgressPart:
    data = schemas.ProgressData(
        message=message,
        percent=percent,
        elapsed=round(elapsed, 1),
        eta=UNSET if eta is None else round(eta, 1),
    )
    return schemas.ProgressPart(data=data)


def _tool_input(call: ToolCall) -> schemas.ToolInputPart | schemas.ToolInputErrorPart:
    try:
        arguments = base.decode_arguments(call.arguments or "{}")
    except ValueError:
        return schemas.ToolInputErrorPart(
            tool_call_id=call.id,
            tool_name=call.name,
            input=call.arguments,
            error_text="The arguments are not valid JSON",
        )
    return schemas.ToolInputPart(tool_call_id=call.id, tool_name=call.name, input=arguments)


class AISDKUIProtocol(base.WireProtocol):
    """The AI SDK's UI messages. Streams only: ``useChat`` requests nothing else."""

    name = "ui"
    path_prefixes = ("/api/ui/",)
    run_endpoints = ("/api/ui/chat",)
    stream_headers = (("x-vercel-ai-ui-message-stream", "v1"),)

    def encoder(self, entries: Sequence[facts.Entry], options: base.EncoderOptions) -> AISDKUIEncoder:
        """Return a new encoder for one subscriber."""
        return AISDKUIEncoder(entries, options.locale, options.message_id)

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        snapshot, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return base.http_status_for(ending.code), schemas.UIError(error=ending.message, code=ending.code)
        parts: list[dict[str, Any]] = []
        if snapshot.reasoning:
            parts.append({"type": "reasoning", "text": snapshot.reasoning})
        if snapshot.text:
            parts.append({"type": "text", "text": snapshot.text})
        for call in ending.calls:
            state: dict[str, Any]
            match _tool_input(call):
                case schemas.ToolInputPart(input=arguments):
                    state = {"state": "input-available", "input": arguments}
                case schemas.ToolInputErrorPart(error_text=error):
                    state = {"state": "output-error", "rawInput": call.arguments, "errorText": error}
            parts.append({"type": f"tool-{call.name}", "toolCallId": call.id, **state})
        return 200, schemas.UIMessage(id=_message_id(snapshot.run.run_id), parts=parts)

    def error(self, error: base.ErrorInfo) -> schemas.UIError:
        """Return the body of an error response."""
        return schemas.UIError(error=error.message, code=error.code)


AI_SDK_UI = AISDKUIProtocol()
