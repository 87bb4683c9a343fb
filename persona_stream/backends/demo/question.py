"""Understand what is asked: which words to look for, and which earlier question a follow-up goes on with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from persona_stream.backends.demo.words import characters, terms
from persona_stream.core.query import Query
from persona_stream.personas.persona import Persona

_EARLIER_WEIGHT = 0.5
_FEW = 3
_REFERS_BACK = re.compile(r"\b(?:it|its|that|this|those|these|they|them|their)\b|[它那这其此]", re.IGNORECASE)
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Question:
    """Hold what is asked.

    Attributes:
        text: the message.
        terms: what to look for, each with its weight. Empty: nothing in particular, as in a greeting.
        earlier: the message of the conversation that a follow-up goes on with.
        told: what the conversation's earlier answers said.
    """

    text: str
    terms: Mapping[str, float]
    earlier: str | None = None
    told: str = ""


def understand(query: Query, persona: Persona, knows: Callable[[str], bool]) -> Question:
    """Find out what a query asks of a persona.

    Args:
        query: the query.
        persona: who is asked.
        knows: tells whether the persona's profile has a term.
    """
    # The persona's own name is no subject: every note is about them.
    names = frozenset(terms(f"{persona.name} {persona.username} {_CAPITAL.sub(' ', persona.username)}"))

    def subject(message: str) -> list[str]:
        # A Chinese subject may be a single character, such as 镭, and nothing tells where it ends in a question.
        single = (character for character in characters(message) if knows(character))
        return [term for term in dict.fromkeys((*terms(message), *single)) if term not in names]

    told = "\n".join(turn.content for turn in query.history if turn.role == "assistant")
    own = subject(query.message)
    if not own or (len(terms(query.message)) <= _FEW and _REFERS_BACK.search(query.message)):
        for turn in reversed(query.history):
            if turn.role == "user" and (before := subject(turn.content)):
                both = dict.fromkeys(before, _EARLIER_WEIGHT) | dict.fromkeys(own, 1.0)
                return Question(query.message, both, earlier=turn.content, told=told)
    return Question(query.message, dict.fromkeys(own, 1.0), told=told)
