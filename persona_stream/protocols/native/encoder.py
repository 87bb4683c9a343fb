"""The native dialect: JSON events with a status, in three styles."""

from __future__ import annotations

from typing import ClassVar

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
from persona_stream.core.i18n import INITIALIZING, answer_ready_text
from persona_stream.core.progress import START_PERCENT
from persona_stream.core.projection import StreamStyle
from persona_stream.core.query import Locale
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


class NativeEncoder:
    """Give events their native form, for one reader of one run."""

    name: ClassVar = "native"

    __slots__ = ("_events_url", "_locale", "_prefix", "_run_id", "_style")

    def __init__(self, run_id: str, events_url: str, style: StreamStyle, locale: Locale) -> None:
        self._run_id, self._events_url, self._style, self._locale = run_id, events_url, style, locale
        self._prefix = run_id.encode("ascii") + b"/"

    def encode(self, event: Event) -> bytes:
        """Frame an event."""
        facts, characters = event.position
        return sse.event(dump_json(self._frame(event)), b"%b%d.%d" % (self._prefix, facts, characters))

    def _frame(self, event: Event) -> Frame:
        match event:
            case TextChunk():
                return self._piece(event)
            case Progress(message=message, percent=percent, elapsed=elapsed, eta=eta):
                left = UNSET if eta is None else round(eta, 1)
                return ProcessingFrame(message=message, progress=percent, elapsed_time=round(elapsed, 1), eta=left)
            case QueuePosition(place=place, elapsed=elapsed, eta=eta):
                left = UNSET if eta is None else round(eta, 1)
                return QueuedFrame(position=place, elapsed_time=round(elapsed, 1), eta=left)
            case RunOpened():
                return self._opening(event)
            case AnswerReady(seconds=seconds):
                message = answer_ready_text(self._locale, seconds)
                return ProcessingCompleteFrame(message=message, total_processing_time=round(seconds, 1))
            case ReasoningChunk(text=text):
                return ReasoningFrame(reasoning=text)
            case Completed(seconds=seconds, ending=ending):
                total = round(seconds, 1) if self._style.name == "smart" else UNSET
                usage = UNSET if ending.usage is None else ending.usage
                return CompleteFrame(total_time=total, usage=usage, finish=finish_of(ending))
            case RunFailed():
                return failure_frame(event)

    def _opening(self, event: RunOpened) -> OpeningFrame:
        smart = self._style.name == "smart"
        return OpeningFrame(
            status="connecting" if self._style.name == "basic" else "initializing",
            message=INITIALIZING[self._locale] if smart else UNSET,
            progress=START_PERCENT if smart else UNSET,
            run_id=self._run_id,
            conversation_id=event.conversation_id,
            interval=event.interval,
            deadline=event.deadline,
            resume_for=event.resume_for,
            events_url=self._events_url,
        )

    def _piece(self, piece: TextChunk) -> Frame:
        total = piece.total
        share = round(100.0 * piece.delivered / total, 1) if total else None
        if self._style.name == "smart":
            return SmartChunkFrame(data=piece.text, chunk_number=piece.number, streaming_progress=share)
        if self._style.name == "advanced":
            return AdvancedChunkFrame(data=piece.text, chunk_number=piece.number)
        return BasicChunkFrame(data=piece.text, progress=share, total_length=total, current_position=piece.delivered)


def failure_frame(event: RunFailed) -> TerminalFrame:
    """Give the form that an ending without an answer has, in streams and in plain JSON alike."""
    if event.code == "timeout":
        return TimeoutFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    if event.code == "cancelled":
        return CancelledFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    return ErrorFrame(error=event.message, code=event.code)


def error_body(refused: ErrorInfo) -> ErrorFrame:
    """Give a refusal its form."""
    return ErrorFrame(error=refused.message, code=refused.code)
