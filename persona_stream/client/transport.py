"""What a connection tells, and what the session needs of one: the contract between deciding and doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from persona_stream.client.requesting import Request

BrokenBy = Literal["unreachable", "connection_lost", "silence", "tls"]


@dataclass(frozen=True, slots=True)
class Head:
    """The response has begun. Header names are in lower case."""

    at: float
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bytes:
    """A part of the body, as soon as it came."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The body ended as HTTP says it should."""

    at: float


@dataclass(frozen=True, slots=True)
class Broken:
    """There was no connection, or it broke; ``detail`` is for people."""

    at: float
    by: BrokenBy
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The person at the keyboard wants to stop, or nobody reads our output any more."""

    at: float


Message = Head | Bytes | Finished | Broken | Interrupted


class Transport(Protocol):
    """Carry one request at a time.

    After ``open`` come a ``Head``, any number of ``Bytes``, and one ``Finished`` or ``Broken``; or ``Broken`` alone.
    ``at`` is the moment of arrival: a message that waited to be taken is not late.
    """

    def open(self, request: Request) -> None:
        """Begin a request, and forget what is under way. Never blocks."""

    def next(self, timeout: float) -> Message | None:
        """Wait for the next message, at most so many seconds; ``None`` when there is none."""

    def close(self) -> None:
        """Forget what is under way. Never blocks; ``open`` may follow."""
