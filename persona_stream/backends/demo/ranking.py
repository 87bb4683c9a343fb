"""Rank a profile's notes for what is asked: BM25 over their texts, and more for a topic that is asked for.

BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009): a term counts the
more, the fewer notes have it; a second occurrence counts less than the first, and one in a long text less too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from persona_stream.backends.demo.words import terms
from persona_stream.personas.persona import KnowledgeItem

_TOPIC_WEIGHT = 3.0
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.4
_LEAST_SHARE_OF_BEST = 0.4
_LEAST_SHARE_NEARBY = 0.07
_RARE = 0.25


@dataclass(frozen=True, slots=True)
class Match:
    """Hold a note that has to do with what is asked, and how much."""

    note: KnowledgeItem
    score: float


@dataclass(frozen=True, slots=True)
class _Indexed:
    note: KnowledgeItem
    topics: tuple[frozenset[str], ...]
    text: Counter[str]
    vocabulary: frozenset[str]


class Ranking:
    """Find the notes of one profile. Building it reads every note once; asking changes nothing."""

    def __init__(self, notes: Sequence[KnowledgeItem]) -> None:
        self._notes = [_index(note) for note in notes]
        self._average = sum(note.text.total() for note in self._notes) / max(1, len(notes)) or 1.0
        self._holders = Counter(term for note in self._notes for term in note.vocabulary)

    def knows(self, term: str) -> bool:
        """Tell whether any note has this term."""
        return term in self._holders

    def rank(self, asked: Mapping[str, float]) -> list[Match]:
        """Give the notes that have to do with these weighted terms, the best first, equals in the profile's order."""
        return self._rank(asked, _LEAST_SHARE_OF_BEST)

    def nearby(self, note: KnowledgeItem, besides: Collection[KnowledgeItem]) -> list[KnowledgeItem]:
        """Give the notes that have to do with the topics of this one, the closest first, without some."""
        asked = dict.fromkeys((term for topic in note.topics for term in terms(topic)), 1.0)
        close = self._rank(asked, _LEAST_SHARE_NEARBY)
        return [match.note for match in close if match.note not in besides]

    def _rank(self, asked: Mapping[str, float], least_share_of_best: float) -> list[Match]:
        found = [Match(note.note, self._score(note, asked)) for note in self._notes if self._is_relevant(note, asked)]
        best = max((match.score for match in found), default=0.0)
        kept = [match for match in found if match.score >= least_share_of_best * best]
        return sorted(kept, key=lambda match: -match.score)

    def _is_relevant(self, note: _Indexed, asked: Collection[str]) -> bool:
        """Tell whether at least half of one topic is asked for, or two rare terms of the text.

        A single word that happens to stand in a text proves nothing, and neither does one that many notes have.
        """
        if any(2 * len(topic.intersection(asked)) >= len(topic) for topic in note.topics):
            return True
        return sum(1 for term in asked if term in note.text and self._is_rare(term)) >= 2

    def _score(self, note: _Indexed, asked: Mapping[str, float]) -> float:
        values = {term: weight * self._rarity(term) for term, weight in asked.items() if term in note.vocabulary}
        length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * note.text.total() / self._average
        textual = (value * _saturated(note.text[term], length) for term, value in values.items())
        return math.fsum(textual) + _TOPIC_WEIGHT * _topical(note.topics, values)

    def _is_rare(self, term: str) -> bool:
        return self._holders[term] <= max(1.0, _RARE * len(self._notes))

    def _rarity(self, term: str) -> float:
        holders = self._holders[term]
        return math.log(1 + (len(self._notes) - holders + 0.5) / (holders + 0.5))


def _topical(topics: Sequence[frozenset[str]], values: Mapping[str, float]) -> float:
    """Add up the topics that are asked for: each by how much of it is, and by the most valuable of its terms.

    No term is counted for two topics, so a subject does not count double for having several names, or many characters.
    """
    asked = [(len(hits) / len(topic), hits) for topic in topics if (hits := topic & values.keys())]
    left = set(values)
    total = 0.0
    for share, hits in sorted(asked, key=lambda item: -item[0]):
        total += share * max((values[term] for term in hits & left), default=0.0)
        left -= hits
    return total


def _saturated(frequency: int, length: float) -> float:
    return frequency * (_SATURATION + 1) / (frequency + _SATURATION * length)


def _index(note: KnowledgeItem) -> _Indexed:
    topics = tuple(topic for topic in (frozenset(terms(topic)) for topic in note.topics) if topic)
    text = Counter(term for translation in note.text.values() for term in terms(translation))
    return _Indexed(note, topics, text, frozenset(text).union(*topics))
