"""Events that a subscriber receives, before a protocol encodes them.

Each event carries the position that the subscriber has reached with it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from persona_stream.core import content, cursor, facts


class RunOpened(Struct, frozen=True, gc=False):
    """Opening event with the terms of the run; ``interval``, ``deadline`` and ``resume_for`` in seconds."""

    position: cursor.Position
    conversation_id: str
    interval: float
    deadline: float
    resume_for: float


class QueuePosition(Struct, frozen=True, gc=False):
    """Progress of a queued run."""

    position: cursor.Position
    queue_position: int  # position of the run in the queue; 1 is next
    elapsed: float  # seconds in the queue
    eta: float | None = None  # estimated seconds until the run starts, if known


class Progress(Struct, frozen=True, gc=False):
    """Progress of a running run; ``elapsed`` and ``eta`` in seconds, ``eta`` if one is known."""

    position: cursor.Position
    message: str
    percent: int
    elapsed: float
    eta: float | None = None


class InputRequired(Progress, frozen=True, gc=False):
    """Progress of a run that waits for the user's answer; ``message`` is the question.

    A protocol without an event for it shows the question as the progress.
    """

    input_id: str = ""
    choices: tuple[str, ...] | None = None
    expires_in: float = 0.0  # seconds that the question stays open


class AnswerReady(Struct, frozen=True, gc=False):
    """Start of the answer, ``seconds`` after the run started."""

    position: cursor.Position
    seconds: float


class ReasoningChunk(Struct, frozen=True, gc=False):
    """Part of the reasoning."""

    position: cursor.Position
    text: str


class TextChunk(Struct, frozen=True, gc=False):
    """Part of the answer."""

    position: cursor.Position
    text: str  # chunk; never empty
    number: int  # number of the chunk, from 1
    delivered: int  # characters of the answer up to and including this chunk
    total: int | None  # length of the answer in characters, once known


class ProviderChunk(Struct, frozen=True, gc=False):
    """Fields of the message that a provider with the subscriber's protocol streamed: a mapping for each part."""

    position: cursor.Position
    fields: tuple[Mapping[str, Any], ...]


class ToolCalled(Struct, frozen=True):
    """Tool call of an answer, after its text. Protocols whose last message has the calls ignore it."""

    position: cursor.Position
    call: content.ToolCall


class Completed(Struct, frozen=True):
    """Successful end; ``ending`` has usage and finish reason.

    ``seconds`` counts from the request to the moment at which the last chunk is due, so it includes the delivery.
    """

    position: cursor.Position
    seconds: float
    ending: facts.Answered


class RunFailed(Struct, frozen=True, gc=False):
    """Failed end; ``message`` is the text for the client, ``elapsed`` the seconds since the start.

    ``retry_after`` is the delay in seconds after which the client may try again, if the backend requires one.
    """

    position: cursor.Position
    code: facts.FailureCode
    message: str
    elapsed: float
    retry_after: float | None = None


Event = (
    RunOpened
    | QueuePosition
    | Progress
    | InputRequired
    | AnswerReady
    | ReasoningChunk
    | TextChunk
    | ProviderChunk
    | ToolCalled
    | Completed
    | RunFailed
)


class Wait(Struct, frozen=True, gc=False):
    """No event is due before the moment ``until`` unless a new fact arrives."""

    until: float
