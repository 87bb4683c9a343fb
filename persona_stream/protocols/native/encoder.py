"""Encoder of the native protocol: JSON events with a status, in three styles."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

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
from persona_stream.core.i18n import INITIALIZING, answer_ready_text
from persona_stream.core.progress import START_PERCENT
from persona_stream.core.projection import StreamStyle
from persona_stream.core.query import Locale
from persona_stream.core.sse import ServerSentEvent
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.native.schemas import (
    AdvancedChunkFrame,
    BasicChunkFrame,
    CancelledFrame,
    CompleteFrame,
    ErrorFrame,
    Frame,
    OpeningFrame,
    ProcessingCompleteFrame,
    ProcessingFrame,
    QueuedFrame,
    ReasoningFrame,
    SmartChunkFrame,
    TerminalFrame,
    TimeoutFrame,
    finish_of,
)

_OtherEvent = RunOpened | QueuePosition | Progress | AnswerReady | ReasoningChunk | Completed | RunFailed


class NativeEncoder:
    """Encoder of the native events of one run for one subscriber."""

    __slots__ = ("_events_url", "_id_prefix", "_locale", "_run_id", "_style")

    def __init__(self, run_id: str, events_url: str, style: StreamStyle, locale: Locale) -> None:
        self._run_id = run_id
        self._events_url = events_url
        self._style = style.name
        self._locale = locale
        self._id_prefix = f"{run_id}/"

    def encode(self, event: Event) -> tuple[ServerSentEvent]:
        """Return the one message of an event."""
        facts, characters = event.position
        frame = self._chunk(event) if isinstance(event, TextChunk) else self._frame(event)
        return (ServerSentEvent(dump_json(frame), id=f"{self._id_prefix}{facts}.{characters}"),)

    def _frame(self, event: _OtherEvent) -> Frame:
        match event:
            case Progress(message=message, percent=percent, elapsed=elapsed, eta=eta):
                return ProcessingFrame(
                    message=message, progress=percent, elapsed_time=round(elapsed, 1), eta=_rounded(eta)
                )
            case QueuePosition(queue_position=queue_position, elapsed=elapsed, eta=eta):
                return QueuedFrame(position=queue_position, elapsed_time=round(elapsed, 1), eta=_rounded(eta))
            case RunOpened():
                return self._opening(event)
            case AnswerReady(seconds=seconds):
                message = answer_ready_text(self._locale, seconds)
                return ProcessingCompleteFrame(message=message, total_processing_time=round(seconds, 1))
            case ReasoningChunk(text=text):
                return ReasoningFrame(reasoning=text)
            case Completed(seconds=seconds, ending=ending):
                total = round(seconds, 1) if self._style == "smart" else UNSET
                usage = UNSET if ending.usage is None else ending.usage
                return CompleteFrame(total_time=total, usage=usage, finish=finish_of(ending))
            case RunFailed():
                return failure_frame(event)

    def _opening(self, event: RunOpened) -> OpeningFrame:
        is_smart = self._style == "smart"
        return OpeningFrame(
            status="connecting" if self._style == "basic" else "initializing",
            message=INITIALIZING[self._locale] if is_smart else UNSET,
            progress=START_PERCENT if is_smart else UNSET,
            run_id=self._run_id,
            conversation_id=event.conversation_id,
            interval=event.interval,
            deadline=event.deadline,
            resume_for=event.resume_for,
            events_url=self._events_url,
        )

    def _chunk(self, chunk: TextChunk) -> Frame:
        if self._style == "advanced":
            return AdvancedChunkFrame(data=chunk.text, chunk_number=chunk.number)
        total = chunk.total
        percent = round(100.0 * chunk.delivered / total, 1) if total else None
        if self._style == "smart":
            return SmartChunkFrame(data=chunk.text, chunk_number=chunk.number, streaming_progress=percent)
        return BasicChunkFrame(data=chunk.text, progress=percent, total_length=total, current_position=chunk.delivered)


def _rounded(seconds: float | None) -> float | UnsetType:
    return UNSET if seconds is None else round(seconds, 1)


def failure_frame(event: RunFailed) -> TerminalFrame:
    """Return the body of a failed run, in streams and in JSON responses alike."""
    if event.code == "timeout":
        return TimeoutFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    if event.code == "cancelled":
        return CancelledFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    return ErrorFrame(error=event.message, code=event.code)


def error_body(error: ErrorInfo) -> ErrorFrame:
    """Return the body of an error response."""
    return ErrorFrame(error=error.message, code=error.code)
