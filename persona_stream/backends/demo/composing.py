"""Write a reply, paragraph by paragraph, out of the notes that were chosen for it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial

from persona_stream.backends.demo.question import Question
from persona_stream.backends.demo.selection import Selection
from persona_stream.backends.demo.wording import Wording
from persona_stream.personas.persona import KnowledgeItem

_MOST_LABELS = 12


class Writer:
    """Write the reply to one question. The same question is always answered in the same words."""

    def __init__(
        self, wording: Wording, question: Question, selection: Selection, notes: Sequence[KnowledgeItem]
    ) -> None:
        self._wording = wording
        self._phrases = wording.phrases
        self._question = question
        self._selection = selection
        self._notes = notes
        self._variant = zlib.crc32(question.text.encode("utf-8", "surrogatepass"))

    def outline(self, *, prompt_unread: bool = False) -> list[Callable[[], str]]:
        """Give what writes each paragraph, in their order, without the list of sources.

        Args:
            prompt_unread: whether there is a prompt that the answer cannot follow, and should say so.
        """
        paragraphs: list[Callable[[], str]] = [self._opening]
        answering, nearby = self._selection.answering, self._selection.nearby
        for number, group in enumerate(_grouped(answering or nearby)):
            # The opening has named the best note already, unless there is none left to tell.
            first = "{text}" if answering and number == 0 else self._choose(self._phrases.later, number)
            paragraphs.append(partial(self._told, (first, self._choose(self._phrases.second, number)), group))
        if answering and nearby:
            paragraphs.append(partial(self._told, (self._phrases.nearby, self._phrases.nearby_second), nearby))
        if self._notes and not self._selection.matches:
            paragraphs.append(self._offer)
        return [*paragraphs, partial(self._closing, prompt_unread)]

    def sources(self) -> str:
        """Give the list of sources, each address once; empty when the reply tells no note."""
        titles: dict[str, list[str]] = {}
        for note in self._selection.told:
            titles.setdefault(note.source, []).append(self._wording.title(note))
        if not titles:
            return ""
        lines = (
            self._phrases.source.format(label=self._phrases.between_labels.join(labels), address=address)
            for address, labels in titles.items()
        )
        return "\n".join((self._phrases.sources, *lines))

    def reasoning(self) -> str:
        """Tell how the notes were ranked; empty when there was nothing to rank them for."""
        if not self._question.terms:
            return ""
        matches = self._selection.matches
        places = (
            self._phrases.ranked.format(place=place, label=self._wording.title(match.note), score=match.score)
            for place, match in enumerate(matches, start=1)
        )
        summary = self._wording.fill(self._phrases.ranking, total=len(self._notes), count=len(matches))
        return "\n".join((summary, *places))

    def _opening(self) -> str:
        fill, phrases, question = self._wording.fill, self._phrases, self._question
        if not self._notes:
            return fill(phrases.no_notes)
        if not question.terms:
            return fill(phrases.greeting, line=self._wording.line())
        asked = self._wording.asked(question.text)
        matches = self._selection.matches
        if not matches:
            return fill(phrases.nothing, question=asked, total=len(self._notes))
        if question.earlier and not self._selection.answering:
            return fill(phrases.exhausted, question=asked, earlier=self._wording.quoted(question.earlier))
        label = self._wording.label(self._selection.answering[0])
        if question.earlier:
            earlier = self._wording.quoted(question.earlier)
            return fill(self._choose(phrases.follow_up), question=asked, earlier=earlier, label=label)
        opening = phrases.opening_one if len(matches) == 1 else self._choose(phrases.opening)
        return fill(opening, question=asked, count=len(matches), label=label)

    def _told(self, leads: Sequence[str], notes: Sequence[KnowledgeItem]) -> str:
        return self._wording.join(
            [
                self._wording.fill(lead, label=self._wording.label(note), text=self._wording.text(note))
                for lead, note in zip(leads[: len(notes)], notes, strict=True)
            ]
        )

    def _offer(self) -> str:
        phrase = self._phrases.offer if self._question.terms else self._phrases.invitation
        return self._wording.fill(phrase, labels=self._wording.labels(self._notes[:_MOST_LABELS]))

    def _closing(self, prompt_unread: bool) -> str:
        told = self._selection.told
        closing = self._choose(self._phrases.closing) if told else self._phrases.closing_without_sources
        closing = self._wording.fill(closing)
        return self._wording.join([closing, self._phrases.prompt_unread]) if prompt_unread else closing

    def _choose(self, phrases: Sequence[str], number: int = 0) -> str:
        return phrases[(self._variant + number) % len(phrases)]


def _grouped(notes: Sequence[KnowledgeItem]) -> list[Sequence[KnowledgeItem]]:
    """Put notes into paragraphs: of one or two, and the first alone when their number is odd."""
    odd = len(notes) % 2
    return [*([notes[:1]] if odd else []), *(notes[start : start + 2] for start in range(odd, len(notes), 2))]
