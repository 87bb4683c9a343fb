"""What happened to a run. A journal is a list of these, each with its moment.

The law of a journal: ``Accepted`` is first and only first; ``Queued`` comes before ``Started``; nothing follows an
ending (``Answered`` or ``Failed``), and there is at most one. Everything that a reader sees is derived from these facts
and the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Finish, Locale, Usage

FailureCode = Literal["backend_error", "internal", "answer_too_large", "lost", "draining", "timeout", "cancelled"]


class Accepted(Struct, frozen=True, tag="accepted"):
    """A query was taken in; these are the terms under which its readers read."""

    run_id: str
    owner: str
    username: str
    conversation_id: str
    style: str
    chunking: str
    locale: Locale
    reasoning: bool
    deadline: float
    resume_for: float
    question_tokens: int = 0  # an estimate, for backends that do not count


class Queued(Struct, frozen=True, tag="queued"):
    """The run waits for a place. ``place`` is 1 for the next one; ``eta`` in seconds, where one can be guessed."""

    place: int
    eta: float | None = None


class Started(Struct, frozen=True, tag="started", omit_defaults=True):
    """process_query is running. The deadline counts from here.

    ``history_tokens`` estimates what was said before, where that was looked up here and not sent with the question.
    """

    history_tokens: int = 0


class ProgressReported(Struct, frozen=True, tag="reported"):
    """The backend told its progress. An empty message leaves the status text as it is."""

    message: str
    fraction: float | None


class ReasoningDelta(Struct, frozen=True, tag="reasoned"):
    """A part of what the model thought."""

    text: str


class TextDelta(Struct, frozen=True, tag="delta"):
    """A part of the answer, from a backend that can stream. Never empty."""

    text: str


class Answered(Struct, frozen=True, tag="answered", omit_defaults=True):
    """The answer is there. ``text`` is what no ``Delta`` has said before; the rest is as in an ``Answer``."""

    text: str
    usage: Usage | None = None
    finish: Finish = "stop"
    calls: tuple[ToolCall, ...] = ()
    extras: ProviderFields | None = None


class Failed(Struct, frozen=True, tag="failed"):
    """There will be no answer. ``text`` is what a deliberate error says; other texts are the reader's language's."""

    code: FailureCode
    text: str | None = None


_ENDINGS = (Answered, Failed)  # asked of every fact, and a union would be made anew each time

Fact = Accepted | Queued | Started | ProgressReported | ReasoningDelta | TextDelta | Answered | Failed


class Entry(Struct, frozen=True):
    """A fact and its moment, in seconds since 1970, by the clock of the machine that ran the query."""

    at: float
    fact: Fact


def text_of(fact: Fact) -> str:
    """Give the text that a fact holds for the reader, or an empty one."""
    match fact:
        case ReasoningDelta(text=text) | TextDelta(text=text) | Answered(text=text):
            return text
        case _:
            return ""


def is_ending(fact: Fact) -> bool:
    """Tell whether nothing can follow this fact."""
    return isinstance(fact, _ENDINGS)


def has_ended(entries: Sequence[Entry]) -> bool:
    """Tell whether a journal has its ending."""
    return is_ending(entries[-1].fact)


def run_terms(entries: Sequence[Entry]) -> Accepted:
    """Give the terms of a run: the first fact of its journal."""
    fact = entries[0].fact
    if not isinstance(fact, Accepted):
        raise TypeError(f"a journal begins with Accepted, not with {type(fact).__name__}")
    return fact
