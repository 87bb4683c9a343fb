"""What the session tells those who show it."""

from __future__ import annotations

from dataclasses import dataclass

from persona_stream.client.judgement import End
from persona_stream.client.reply import Reply
from persona_stream.core.sse import Event


@dataclass(frozen=True, slots=True)
class Connecting:
    """The question is on its way. Without a stream, nothing more will come before the answer."""

    streams: bool = True


@dataclass(frozen=True, slots=True)
class Waited:
    """A moment has passed and nothing came."""


@dataclass(frozen=True, slots=True)
class Came:
    """Something came. ``event`` is its form on the wire, ``None`` for an answer that came as one object."""

    reply: Reply
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection is gone; the next attempt follows in so many seconds."""

    code: str
    wait: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancelling:
    """The run is being cancelled."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over.

    Attributes:
        end: how.
        run_id: the run, or an empty string when none was ever known.
        conversation_id: to go on with; empty when unknown.
        characters: how many of the answer came.
        seconds: since the beginning.
        stopped: whether the run was told to stop: ``None`` when there was no reason to, or no run known.
    """

    end: End
    run_id: str
    conversation_id: str
    characters: int
    seconds: float
    stopped: bool | None = None


Update = Connecting | Waited | Came | Reconnecting | Cancelling | Ended
