"""Where a text may be cut, for those who cut by words and by sentences.

Where words end, also in scripts that are written without spaces.

There each letter counts as a word. But closing punctuation, small kana and emoji never begin a piece, opening
punctuation never ends one, a number stays with the unit behind it, and katakana, which spell one foreign word
together, stay together.
"""

from __future__ import annotations

import re
from functools import cache

from persona_stream.chunking.graphemes import enclosing_boundaries, next_boundary
from persona_stream.chunking.sentence_boundaries import next_sentence_end
from persona_stream.chunking.unicode import (
    ATTACHED,
    CLOSING,
    COMMAS,
    EMOJI,
    FULL_STOPS,
    HAN,
    HIDDEN,
    HIRAGANA,
    KATAKANA,
    NOT_FIRST,
    NOT_LAST,
    OPENING,
    THAI_LEADING,
    WIDE,
    mask_code_and_urls,
)

# No-break spaces are none of these, nor is what hides a blank in code.
_BLANK = r"[ \t\n\r\f\v\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000] (?= \S )"
_BEFORE_ANY = rf"(?= [^\W_{NOT_FIRST}] | [{OPENING}(\[] )"
_BEFORE_WIDE = rf"(?= [{WIDE}{KATAKANA}] ) (?! [{NOT_FIRST}] )"
# Where a reader would pause: at commas and such, also those of other scripts before a wide letter (don’t is one
# word). In Japanese most phrases end with hiragana, and the next begins with something else; in Thai a leading vowel
# begins a syllable.
_PHRASE = rf"""
    [{COMMAS}{FULL_STOPS}] {_BEFORE_ANY} (?! (?<= \d [，．：] ) \d )
  | [{CLOSING}] {_BEFORE_ANY} (?! [{HIRAGANA}] )
  | […—,;:!?] {_BEFORE_WIDE}
  | [’”)\]%°℃] {_BEFORE_WIDE} (?! [{HIRAGANA}] )
  | [{HIRAGANA}] (?<! [おご] ) (?= [{HAN}{KATAKANA}{OPENING}] ) (?! [{NOT_FIRST}] )
  | [{WIDE}] (?= [{THAI_LEADING}] )
"""
_LETTER = rf"""
    [{WIDE}{ATTACHED}{EMOJI}{CLOSING}] (?<! [{NOT_LAST}] ) {_BEFORE_ANY}
  | [{KATAKANA}] {_BEFORE_ANY} (?! [{KATAKANA}] )
  | [^\W\d_{KATAKANA}{NOT_LAST}] {_BEFORE_WIDE}
  | [’”)\]%°℃] {_BEFORE_WIDE}
"""

# Each matches what is before the place, and looks at what is behind it.
SPACED_WORD_END = re.compile(_BLANK, re.VERBOSE)


# To compile these takes longer than most modules take to import: only who has such a text shall wait for it.


@cache
def word_end() -> re.Pattern[str]:
    """Give the pattern for the end of a word, in any script."""
    return re.compile(rf"{_BLANK} | {_PHRASE} | {_LETTER}", re.VERBOSE)


@cache
def phrase_end() -> re.Pattern[str]:
    """Give the pattern for the end of a phrase in a script without spaces."""
    return re.compile(_PHRASE, re.VERBOSE)


@cache
def wide_letter() -> re.Pattern[str]:
    """Give the pattern for a letter of such a script."""
    return re.compile(rf"[{WIDE}{KATAKANA}]")


MAX_WORD_LENGTH = 200

_SOLID = re.compile(r"\S")
_LONG_RUN = re.compile(rf"\S{{{MAX_WORD_LENGTH + 1}}}")
_LONG_WORD = re.compile(rf"(?<!\S)\S{{{MAX_WORD_LENGTH + 1}}}")


class BoundaryFinder:
    """Find the places of one text, from its beginning to its end.

    Ask for later and later places only: the last one found is kept until it is passed, so that a text without
    any is searched once.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.masked = mask_code_and_urls(text)
        self.wide = not text.isascii() and wide_letter().search(self.masked) is not None
        # Every place in it is a boundary.
        self._plain = text.isascii() and "\r" not in text
        self._word_pattern = word_end() if self.wide else SPACED_WORD_END
        self._word_end = self._sentence_end = 0

    def sentence_end(self, at: int) -> int:
        """Find the first end of a sentence that is not before ``at``."""
        if self._sentence_end < at:
            self._sentence_end = next_sentence_end(self.masked, at - 1)
        return self._sentence_end

    def word_end(self, at: int) -> int:
        """Find the first end of a word that is not before ``at``."""
        if self._word_end < at:
            found = self._word_pattern.search(self.masked, at - 1)
            self._word_end = found.end() if found else len(self.masked)
        return self._word_end

    def phrase_end(self, at: int, near: int) -> int:
        """Find the first end of a phrase or a sentence that is at most ``near`` characters behind ``at``.

        Where words have no spaces between them we cannot tell a word from a letter, and phrases make better pieces.
        Elsewhere, and when there is none so near, it is the end of a word after all.
        """
        if wide_letter().search(self.masked, at - 1, at + near):
            # One character more, because a place depends on what is behind it.
            phrase = phrase_end().search(self.masked, at - 1, at + near + 1)
            if phrase:
                return min(phrase.end(), self.sentence_end(at))
            if self.sentence_end(at) <= at + near:
                return self.sentence_end(at)
        return self.word_end(at)

    def min_visible_end(self, start: int, least: int) -> int:
        """Give the least end of a piece that shall not be blank; the text's end if it cannot be helped."""
        solid = _SOLID.search(self.masked, start)
        return max(least, solid.end()) if solid else len(self.masked)

    def adjust(self, start: int, least: int, end: int) -> int:
        """Give the place where the piece that would end at ``end`` ends: earlier if it has too long a word."""
        # What is before least must be taken anyway.
        if end - least >= MAX_WORD_LENGTH:
            end = self._in_long_word(start, least, end)
        return end if self._plain else next_boundary(self.text, start, end)

    def _in_long_word(self, start: int, least: int, end: int) -> int:
        word = _LONG_RUN.match(self.masked, least - 1, end) or _LONG_WORD.search(self.masked, least - 1, end)
        if word is None:
            return end
        first, last = max(least, word.start() + 1), word.start() + MAX_WORD_LENGTH
        for pattern in (phrase_end(), word_end()) if self.wide else ():
            ends = [found.end() for found in pattern.finditer(self.masked, first - 1, last + 1)]
            ends = [end for end in ends if end <= last]
            if ends:
                return ends[-1]
        # An address that began within this word goes whole into the next piece, if it is not too long itself.
        hidden = len(self.masked[first:last].rstrip(HIDDEN))
        if hidden and self.masked[last] == HIDDEN:
            last = first + hidden
        before, after = enclosing_boundaries(self.text, start, last)
        return before if before >= first else after
