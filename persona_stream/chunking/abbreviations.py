"""Full stops that do not end a sentence: of abbreviations, initials, ordinals and list numbers.

The abbreviations are in ``languages/*.toml``, with words that help to decide. The lists of all languages apply to every
text, since an answer may mix languages and a language cannot be recognised from a few words.

Invariants:
    A word has the same class in all languages that list it.
    No listed word is an ordinary word that often ends a sentence of another language.
"""

import re
import tomllib
from collections import defaultdict
from enum import Enum
from functools import cache
from importlib import resources
from typing import Self

from msgspec import Struct

from persona_stream.chunking.unicode import SPACED_LETTERS

MAX_ABBREVIATION_LENGTH = 8  # characters, without the last full stop
MAX_NUMBER_LENGTH = 3  # digits of an ordinal or a list number
MAX_ABBREVIATION_LETTERS = 6  # in a row
# Letters of scripts with spaces only, else 如Dr would be one word.
_SHORT_WORD = re.compile(
    rf"(?<![{SPACED_LETTERS}0-9.])(?:[{SPACED_LETTERS}.№]{{1,{MAX_ABBREVIATION_LENGTH}}}|\d{{1,{MAX_NUMBER_LENGTH}}})\Z"
)
_DOTTED_LETTERS = re.compile(rf"(?:[{SPACED_LETTERS}]\.)+[{SPACED_LETTERS}]")
# Abbreviations of spaced letters: z. B., d. h., i. d. R.
_SPACED_LETTER = re.compile(rf"(?<![{SPACED_LETTERS}])[{SPACED_LETTERS}]\.[ \u00a0\u202f]\Z")
_PREVIOUS_WORD = re.compile(rf"([{SPACED_LETTERS}]+) \Z")
_NEXT_WORD = re.compile(rf"[\"'“‘„«(*_]*([{SPACED_LETTERS}]+)(?=[\s,'’]|\Z)")
_SPANISH_OPENING = ("¿", "¡")
# 3. 10. 2026
_DATE = re.compile(r"\d{1,2}\. ?\d{1,2}\. ?\d{2,4}\b")
_START_OF_DATE = re.compile(r"(?<!\d)\d{1,2}\. ?\Z")
_LINE_START = re.compile(r"(?:^|\n)[\s>#*_(•⁃–-]*\Z")
_OPENING_TIME = re.compile(r"(?:\A|[\n.!?…])\s*[\"“]?(?:[A-Z][a-z]+ )?\d{1,2}(?::\d\d)? ?\Z")
_MAX_CONTEXT = 40


class Kind(Enum):
    """Kinds of abbreviations."""

    NEVER_LAST = "never_last"  # ends no sentence
    BEFORE_NUMBER = "before_number"  # an abbreviation only before a number; "No." is also an answer
    MAY_BE_LAST = "may_be_last"  # may end a sentence; the next word decides
    TIME = "times"  # like MAY_BE_LAST, and a title after it starts a sentence


class Lexicon(Struct, frozen=True):
    """Lists of words of all languages."""

    kinds: dict[str, Kind]  # of abbreviations, without their last full stop
    phrases: dict[str, str]  # abbreviations of several words that end no sentence, by their last word
    titles: frozenset[str]
    openers: frozenset[str]  # words that start a sentence and seldom a name
    before_ordinal: frozenset[str]
    after_ordinal: frozenset[str]
    exclaimed_names: frozenset[str]  # names that end with an exclamation mark

    @classmethod
    def load(cls) -> Self:
        """Return the union of the lists of all languages. Words of a phrase are joined by ``_``."""
        lists: dict[str, list[str]] = defaultdict(list)
        for file in resources.files("persona_stream.chunking").joinpath("languages").iterdir():
            for name, words in tomllib.loads(file.read_text("utf-8")).items():
                lists[name] += words.split()
        kinds = {word: kind for kind in Kind for word in lists[kind.value]}
        phrases = {word.rpartition("_")[2]: word.replace("_", " ") for word in kinds if "_" in word}
        rest = (frozenset(lists[name]) for name in cls.__struct_fields__[2:])
        return cls(kinds, phrases, *rest)


@cache
def lexicon() -> Lexicon:
    """Return the lexicon, which is loaded on first use."""
    return Lexicon.load()


def is_abbreviation(text: str, stop: int, following: int) -> bool:
    """Return whether the full stop at ``stop`` belongs to an abbreviation, an initial, an ordinal or a list number.

    ``following`` is the index of the first character after the whitespace behind the full stop.
    """
    word = _short_word(text, stop)
    if not word:
        return False
    start = stop - len(word)
    key = word.lower()
    words = lexicon()
    kind = words.kinds.get(key)
    if kind is None and len(word) > 1 and word.isalpha() and key not in words.phrases and word.strip("ivx"):
        return False  # an ordinary word, as before most full stops
    if kind is Kind.NEVER_LAST or (kind is Kind.BEFORE_NUMBER and text[following : following + 1].isdigit()):
        return True
    if kind is Kind.TIME and _next_word(text, following) in words.titles:
        return _OPENING_TIME.search(text, max(0, start - _MAX_CONTEXT), start) is not None
    is_letter = len(word) == 1
    is_initial = key != word if is_letter else "." in word and _DOTTED_LETTERS.fullmatch(word) is not None
    if is_initial or kind is Kind.MAY_BE_LAST or kind is Kind.TIME:
        return not _is_opener(text, following)
    if is_letter and _SPACED_LETTER.search(text, max(0, start - 4), start):
        return True
    is_number = word.isdigit()
    if is_number and _is_ordinal(text, start, following):
        return True
    if is_number or is_letter or not word.strip("ivx"):
        return _LINE_START.search(text, max(0, start - _MAX_CONTEXT), start) is not None
    phrase = words.phrases.get(key)
    return phrase is not None and text[stop - len(phrase) : stop].lower() == phrase


def _short_word(text: str, stop: int) -> str:
    """Return the word before a full stop; empty if it is too long for an abbreviation."""
    first = max(0, stop - MAX_ABBREVIATION_LENGTH - 1)
    blank = text.rfind(" ", first, stop)
    word = text[blank + 1 : stop]
    # Most words follow a blank and consist of letters.
    if blank >= 0 and word.isascii() and (word.isalpha() or (word.isdigit() and len(word) <= MAX_NUMBER_LENGTH)):
        return word
    found = _SHORT_WORD.search(text, first, stop)
    return found[0] if found else ""


def is_exclaimed_name(text: str, stop: int) -> bool:
    """Return whether the exclamation mark at ``stop`` belongs to a name, as in "She works at Yahoo! in London"."""
    return _short_word(text, stop).lower() in lexicon().exclaimed_names


def _next_word(text: str, at: int) -> str:
    found = _NEXT_WORD.match(text, at)
    return found[1] if found else text[at : text.find(".", at, at + MAX_ABBREVIATION_LENGTH)]


def _is_opener(text: str, at: int) -> bool:
    if text.startswith(_SPANISH_OPENING, at):
        return True
    found = _NEXT_WORD.match(text, at)
    return found is not None and found[1] in lexicon().openers


def _is_ordinal(text: str, start: int, following: int) -> bool:
    """Return whether a number before a full stop is an ordinal: der 17. Versuch, am 3. Oktober, 3. 10. 2026."""
    if not text[following : following + 1].isupper():
        date = _START_OF_DATE.search(text, max(0, start - 5), start)
        return _DATE.match(text, date.start() if date else start) is not None
    if _next_word(text, following) in lexicon().after_ordinal:
        return True
    previous = _PREVIOUS_WORD.search(text, max(0, start - _MAX_CONTEXT), start)
    if previous is None or previous[1].lower() not in lexicon().before_ordinal:
        return False
    return not text.endswith("I am ", 0, start)
