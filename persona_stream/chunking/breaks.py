"""Where words end, also in scripts that are written without spaces.

There each letter counts as a word. But closing punctuation, small kana and emoji never begin a piece, opening
punctuation never ends one, a number stays with the unit behind it, and katakana, which spell one foreign word
together, stay together.
"""

from __future__ import annotations

import re
from functools import cache

from persona_stream.chunking.letters import (
    ATTACHED,
    CLOSING,
    COMMAS,
    EMOJI,
    FULL_STOPS,
    HAN,
    HIRAGANA,
    KATAKANA,
    NOT_FIRST,
    NOT_LAST,
    OPENING,
    THAI_LEADING,
    WIDE,
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
