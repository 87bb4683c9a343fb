"""The native dialect: JSON events with a status, in three styles."""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET

from persona_stream.core import i18n as messages
from persona_stream.core import sse
from persona_stream.core.events import Complete, Event, Failure, Opening, Piece, Processed, Progress, Queuing, Thought
from persona_stream.core.progress import START
from persona_stream.core.projection import Style
from persona_stream.core.query import Locale
from persona_stream.protocols.base import Refused, to_json
from persona_stream.protocols.native.schemas import (
    AdvancedPieceFrame,
    BasicPieceFrame,
    CancelledFrame,
    CompleteFrame,
    ErrorFrame,
    Frame,
    OpeningFrame,
    ProcessingCompleteFrame,
    ProcessingFrame,
    QueuedFrame,
    ReasoningFrame,
    SmartPieceFrame,
    TerminalFrame,
    TimeoutFrame,
    finish_of,
)


class Native:
    """Give events their native form, for one reader of one run."""

    name: ClassVar = "native"

    __slots__ = ("_events_url", "_locale", "_prefix", "_run_id", "_style")

    def __init__(self, run_id: str, events_url: str, style: Style, locale: Locale) -> None:
        self._run_id, self._events_url, self._style, self._locale = run_id, events_url, style, locale
        self._prefix = run_id.encode("ascii") + b"/"

    def encode(self, event: Event) -> bytes:
        """Frame an event."""
        facts, characters = event.position
        return sse.event(to_json(self._frame(event)), b"%b%d.%d" % (self._prefix, facts, characters))

    def _frame(self, event: Event) -> Frame:
        match event:
            case Piece():
                return self._piece(event)
            case Progress(message=message, percent=percent, elapsed=elapsed, eta=eta):
                left = UNSET if eta is None else round(eta, 1)
                return ProcessingFrame(message=message, progress=percent, elapsed_time=round(elapsed, 1), eta=left)
            case Queuing(place=place, elapsed=elapsed, eta=eta):
                left = UNSET if eta is None else round(eta, 1)
                return QueuedFrame(position=place, elapsed_time=round(elapsed, 1), eta=left)
            case Opening():
                return self._opening(event)
            case Processed(seconds=seconds):
                message = messages.processed(self._locale, seconds)
                return ProcessingCompleteFrame(message=message, total_processing_time=round(seconds, 1))
            case Thought(text=text):
                return ReasoningFrame(reasoning=text)
            case Complete(seconds=seconds, ending=ending):
                total = round(seconds, 1) if self._style.name == "smart" else UNSET
                usage = UNSET if ending.usage is None else ending.usage
                return CompleteFrame(total_time=total, usage=usage, finish=finish_of(ending))
            case Failure():
                return failure_frame(event)

    def _opening(self, event: Opening) -> OpeningFrame:
        smart = self._style.name == "smart"
        return OpeningFrame(
            status="connecting" if self._style.name == "basic" else "initializing",
            message=messages.INITIALIZING[self._locale] if smart else UNSET,
            progress=START if smart else UNSET,
            run_id=self._run_id,
            conversation_id=event.conversation_id,
            interval=event.interval,
            deadline=event.deadline,
            resume_for=event.resume_for,
            events_url=self._events_url,
        )

    def _piece(self, piece: Piece) -> Frame:
        total = piece.total
        share = round(100.0 * piece.delivered / total, 1) if total else None
        if self._style.name == "smart":
            return SmartPieceFrame(data=piece.text, chunk_number=piece.number, streaming_progress=share)
        if self._style.name == "advanced":
            return AdvancedPieceFrame(data=piece.text, chunk_number=piece.number)
        return BasicPieceFrame(data=piece.text, progress=share, total_length=total, current_position=piece.delivered)


def failure_frame(event: Failure) -> TerminalFrame:
    """Give the form that an ending without an answer has, in streams and in plain JSON alike."""
    if event.code == "timeout":
        return TimeoutFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    if event.code == "cancelled":
        return CancelledFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    return ErrorFrame(error=event.message, code=event.code)


def refusal(refused: Refused) -> ErrorFrame:
    """Give a refusal its form."""
    return ErrorFrame(error=refused.message, code=refused.code)
