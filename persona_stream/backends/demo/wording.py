"""Put notes, titles and quotations into the sentences of a language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import regex

from persona_stream.backends.demo.language import is_chinese
from persona_stream.backends.demo.phrases import PHRASES, Phrases
from persona_stream.backends.demo.words import MOST_READ
from persona_stream.core.query import Locale
from persona_stream.personas.persona import KnowledgeItem, Persona

_QUOTED_GRAPHEMES = 120
_GRAPHEME = regex.compile(r"\X")
_HAN_NAME = regex.compile(r"\p{Han}[\p{Han}·]*")
# What would reach out of the quotation: control characters, lone surrogates, and marks that turn the direction.
_DISTURBING = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]")
_ENDS_SENTENCE = regex.compile(r"[.!?。！？…]\P{L}*\Z")


class Wording:
    """Word what there is to say of one persona in one language.

    Where a profile lacks the language, its text stands in the first one that it has.
    """

    def __init__(self, persona: Persona, language: Locale) -> None:
        self._persona = persona
        self._language = language
        self._name = name_in(language, persona.name)
        self.phrases: Phrases = PHRASES[language]

    def fill(self, phrase: str, **values: object) -> str:
        """Put values, and the persona's name, into a phrase."""
        if self._language == "zh" and is_chinese(self._name):
            phrase = phrase.replace(" {name} ", "{name}")
        return phrase.format(name=self._name, **values)

    def text(self, note: KnowledgeItem) -> str:
        """Give what a note says."""
        return self._translated(note.text)

    def line(self) -> str:
        """Say in one sentence who the persona is."""
        return _ended(self._translated(self._persona.tagline), self.phrases.full_stop)

    def title(self, note: KnowledgeItem) -> str:
        """Give the first of a note's topics that is in this language."""
        chinese = self._language == "zh"
        return next((topic for topic in note.topics if is_chinese(topic) == chinese), note.topics[0])

    def label(self, note: KnowledgeItem) -> str:
        """Give a note's title as it stands in a sentence."""
        return self.phrases.label.format(label=self.title(note))

    def labels(self, notes: Sequence[KnowledgeItem]) -> str:
        """Give the titles of several notes as they stand in a sentence."""
        *front, last = (self.label(note) for note in notes)
        if not front:
            return last
        return self.phrases.last_label.join((self.phrases.between_labels.join(front), last))

    def quoted(self, message: str) -> str:
        """Give a message on one line, at a length to be quoted, and without a full stop."""
        beginning = _DISTURBING.sub(" ", message[:MOST_READ])
        graphemes = _GRAPHEME.findall(" ".join(beginning.split()))
        if len(graphemes) > _QUOTED_GRAPHEMES or len(message) > MOST_READ:
            return "".join(graphemes[:_QUOTED_GRAPHEMES]).rstrip() + "…"
        return "".join(graphemes).rstrip(".。")

    def asked(self, message: str) -> str:
        """Give a message to be quoted in an opening."""
        return _ended(self.quoted(message), self.phrases.quote_stop)

    def join(self, sentences: Sequence[str]) -> str:
        """Put sentences into one paragraph."""
        return self.phrases.between_sentences.join(sentences)

    def _translated(self, texts: Mapping[str, str]) -> str:
        return texts.get(self._language) or next(texts[spoken] for spoken in self._persona.languages if spoken in texts)


def _ended(text: str, stop: str) -> str:
    return text if _ENDS_SENTENCE.search(text) else text + stop


def name_in(language: Locale, name: str) -> str:
    """Give the part of a name that is in a language's script, or all of it: "鲁迅 Lu Xun" is "鲁迅" in Chinese."""
    chinese = " ".join(_HAN_NAME.findall(name))
    latin = " ".join(_HAN_NAME.sub(" ", name).split())
    return (chinese if language == "zh" else latin) or name
