"""What a reader gets, before any dialect gives it a form. Each says the position that the reader has with it."""

from __future__ import annotations

from msgspec import Struct

from persona_stream.core.cursor import Position
from persona_stream.core.facts import Answered, FailureCode


class RunOpened(Struct, frozen=True):
    """The run exists, and these are its terms."""

    position: Position
    conversation_id: str
    interval: float
    deadline: float
    resume_for: float


class QueuePosition(Struct, frozen=True):
    """The run waits for a place: the how many-th it is, for how long it has waited, and how long it may still."""

    position: Position
    place: int
    elapsed: float
    eta: float | None = None


class Progress(Struct, frozen=True):
    """The backend is at work. ``eta`` is in seconds, when one is known."""

    position: Position
    message: str
    percent: int
    elapsed: float
    eta: float | None = None


class AnswerReady(Struct, frozen=True):
    """The answer begins."""

    position: Position
    seconds: float


class ReasoningChunk(Struct, frozen=True):
    """A part of the reasoning."""

    position: Position
    text: str


class TextChunk(Struct, frozen=True):
    """A part of the answer.

    ``delivered`` counts the characters up to and with this piece; ``total`` is the answer's length, once known.
    """

    position: Position
    text: str
    number: int
    delivered: int
    total: int | None


class Completed(Struct, frozen=True):
    """There is no more of the answer, and ``ending`` says why, and what the client is to do now."""

    position: Position
    seconds: float
    ending: Answered


class RunFailed(Struct, frozen=True):
    """There will be no more, and the answer is not whole."""

    position: Position
    code: FailureCode
    message: str
    elapsed: float


Event = RunOpened | QueuePosition | Progress | AnswerReady | ReasoningChunk | TextChunk | Completed | RunFailed


class Wait(Struct, frozen=True):
    """Nothing is due before this moment, unless a new fact comes first."""

    until: float
