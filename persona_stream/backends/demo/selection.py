"""Choose the notes of a reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from persona_stream.backends.demo.question import Question
from persona_stream.backends.demo.ranking import Match, Ranking
from persona_stream.personas.persona import KnowledgeItem

MOST = 5
LEAST = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold the notes that a reply tells.

    Attributes:
        matches: every note that has to do with the question, the best first.
        answering: those of them that are told.
        nearby: what is told besides, because it is close to the best one.
    """

    matches: tuple[Match, ...]
    answering: tuple[KnowledgeItem, ...]
    nearby: tuple[KnowledgeItem, ...] = ()

    @property
    def told(self) -> tuple[KnowledgeItem, ...]:
        """Give all that the reply tells, in its order."""
        return self.answering + self.nearby


def select(question: Question, notes: Sequence[KnowledgeItem], ranking: Ranking) -> Selection:
    """Choose three to five notes where the profile has them; none when nothing has to do with the question.

    A question about nothing in particular gets the first notes of the profile. A follow-up hears first what the
    conversation has not told yet.
    """
    if not question.terms:
        return Selection((), tuple(notes[:LEAST]))
    matches = ranking.rank(question.terms)
    found = [match.note for match in matches]
    fresh = [note for note in found if not (question.earlier and _was_told(note, question))]
    answering = tuple(fresh[:MOST])
    nearby: tuple[KnowledgeItem, ...] = ()
    if found and len(answering) < LEAST:
        close = (note for note in ranking.nearby(found[0], besides=found) if not _was_told(note, question))
        nearby = tuple(close)[: LEAST - len(answering)]
    if not answering and not nearby:
        answering = tuple(found[:MOST])
    return Selection(tuple(matches), answering, nearby)


def _was_told(note: KnowledgeItem, question: Question) -> bool:
    return any(text in question.told for text in note.text.values())
