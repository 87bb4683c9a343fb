"""Character classes (each the inside of ``[...]``) and patterns for word ends.

In scripts that are written without spaces each letter counts as a word, with a few rules of line breaking (kinsoku):
closing punctuation, small kana and emoji never start a chunk, opening punctuation never ends one, a number stays with
the unit after it, and a katakana word stays whole.

Sources: the Unicode blocks; for characters that must not start or end a line, JIS X 4051 (kinsoku) and the W3C's
*Requirements for Chinese Text Layout*.
"""

import re
from functools import cache

HAN = "\u2e80-\u2fdf\u3005-\u3007\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HIRAGANA = "\u3041-\u3096\u309d-\u309f"
UNSPACED = HAN + HIRAGANA + "\u0e01-\u0e4e"  # scripts without spaces; Thai has no rules besides grapheme clusters
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
NOT_FIRST = "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ\u31f0-\u31ffｧ-ｯ" + "ー々〻ゝゞヽヾ\uff70\uff9e\uff9f"

# Letters of scripts with spaces in which abbreviations end with a full stop, and the signs of ordinals (N°).
SPACED_LETTERS = "A-Za-zªº°\u00c0-\u024f\u0370-\u052f\u0531-\u0587\u0621-\u064a\u1e00-\u1fff"

# Emoji with their modifiers; variation selectors and voicing marks, which attach to the character before them.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d"
# Faces, hands, hearts and the like, which express the mood of the sentence before them rather than open the next one.
MOOD_EMOJI = (
    "\u2639\u263a\u2665\u2728\u2764\U0001f389\U0001f38a\U0001f44b-\U0001f44f\U0001f493-\U0001f49f\U0001f4aa\U0001f4af"
    "\U0001f525\U0001f600-\U0001f64f\U0001f90c-\U0001f930\U0001f970-\U0001f97a"
)
ATTACHED = "\ufe00-\ufe0f\u3099\u309a\U000e0100-\U000e01ef"

# Punctuation of Chinese and Japanese.
OPENING = "（「『【《〈〔〖［｛｟｢"
CLOSING = "）」』】》〉〕〗］｝｠｣"
COMMAS = "，、：；､"
FULL_STOPS = "。！？｡．"

# Stops that end a sentence regardless of the next character, and all stops.
# The second part has the sentence terminals of other scripts (Sentence_Terminal in Unicode, and Tibetan): Armenian,
# Syriac, Burmese, Ethiopic, Khmer, Mongolian and more. Burmese ၊ is left out, because it is rather a comma.
SURE_STOPS = "。！？；｡．।॥؟۔" + (
    "\u037e\u0589\u061d\u061e\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0f0d-\u0f12\u104b\u1362\u1367\u1368\u166e\u1735\u1736"
    "\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049"
    "\u2e2e\u2e3c\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uabeb"
)
STOPS = SURE_STOPS + ".!?…‥"
STOP = re.compile(f"[{STOPS}]")
# Characters that stay with the sentence before them.
CLOSERS = CLOSING + r"”’»\"')\]>*_~" + EMOJI + ATTACHED

# Not the no-break spaces, and not the masked space of code.
_SPACE = r"[ \t\n\r\f\v\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000] (?= \S )"
_BEFORE_ANY = rf"(?= [^\W_{NOT_FIRST}] | [{OPENING}(\[] )"
_BEFORE_UNSPACED = rf"(?= [{UNSPACED}{KATAKANA}] ) (?! [{NOT_FIRST}] )"
# Phrases end at commas and the like, those of other scripts only before an unspaced letter (don’t is one word). Most
# Japanese phrases end with hiragana, followed by another script.
_PHRASE = rf"""
    [{COMMAS}{FULL_STOPS}] {_BEFORE_ANY} (?! (?<= \d [，．：] ) \d )
  | [{CLOSING}] {_BEFORE_ANY} (?! [{HIRAGANA}] )
  | […—,;:!?] {_BEFORE_UNSPACED}
  | [’”)\]%°℃] {_BEFORE_UNSPACED} (?! [{HIRAGANA}] )
  | [{HIRAGANA}] (?= [{HAN}{KATAKANA}{OPENING}] ) (?! [{NOT_FIRST}] )
"""
_LETTER = rf"""
    [{UNSPACED}{ATTACHED}{EMOJI}{CLOSING}] {_BEFORE_ANY}
  | [{KATAKANA}] {_BEFORE_ANY} (?! [{KATAKANA}] )
  | [^\W\d_{KATAKANA}] {_BEFORE_UNSPACED}
  | [’”)\]%°℃] {_BEFORE_UNSPACED}
"""
SPACED_WORD_END = re.compile(_SPACE, re.VERBOSE)


@cache
def unspaced_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of an unspaced letter, a word end and a phrase end. Compiled on first use: it is slow."""
    letter = re.compile(rf"[{UNSPACED}{KATAKANA}]")
    return letter, re.compile(f"{_SPACE} | {_PHRASE} | {_LETTER}", re.VERBOSE), re.compile(_PHRASE, re.VERBOSE)


MASK = "X"
"""Character that replaces code, URLs and other text without boundaries."""
BLOCK_MASK = "\x7f"
"""The same in a code block, which has line breaks, and behind which no sentence continues."""
