"""A persona: who answers, in what voice, and what they know."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Note:
    """Hold one thing that a persona knows, with where it is from.

    Attributes:
        topics: words, of any language, that ask for this note.
        text: the same fact by language code: ``{"en": ..., "zh": ...}``.
        source: an address where it can be checked.
    """

    topics: tuple[str, ...]
    text: dict[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Persona:
    """Hold a profile.

    Attributes:
        username: the name in requests.
        name: the name people use.
        line: who this is, in one line, by language code.
        languages: the languages it speaks best, best first.
        prompt: its system prompt.
        notes: what it knows.
    """

    username: str
    name: str
    line: dict[str, str]
    languages: tuple[str, ...] = ("en",)
    prompt: str = ""
    notes: tuple[Note, ...] = field(default=(), repr=False)
