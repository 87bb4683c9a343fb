"""Character classes (each the inside of ``[...]``), patterns for word ends, and masking of code and URLs.

In scripts that are written without spaces each letter counts as a word, with a few rules of line breaking (kinsoku):
closing punctuation, small kana and emoji never start a chunk, opening punctuation never ends one, a number stays with
the unit after it, and a katakana word stays whole.

Sources: the Unicode blocks; for characters that must not start or end a line, JIS X 4051 (kinsoku) and the W3C's
*Requirements for Chinese Text Layout*.
"""

import re
from functools import cache

import regex

HAN = "\u2e80-\u2fdf\u3005-\u3007\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HIRAGANA = "\u3041-\u3096\u309d-\u309f"
UNSPACED = HAN + HIRAGANA + "\u0e01-\u0e4e"  # scripts without spaces; Thai has no rules besides grapheme clusters
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
NOT_FIRST = "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ\u31f0-\u31ffｧ-ｯ" + "ー々〻ゝゞヽヾ\uff70\uff9e\uff9f"

# Emoji with their modifiers; variation selectors and voicing marks, which attach to the character before them.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d"
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
    "\u0589\u061d\u061e\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0f0d-\u0f12\u104b\u1362\u1367\u1368\u166e\u1735\u1736"
    "\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049"
    "\u2e2e\u2e3c\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uabeb"
)
STOPS = SURE_STOPS + ".!?…‥"
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
# ASCII replacements keep ASCII texts ASCII, which is much faster; this is a space of ASCII that texts do not use.
_MASKED_SPACE = "\x1f"

# From the opening line of a block to the closing one, or to the end. Any indentation is accepted, because models indent
# and quote blocks and put them in lists, and a missed opening line would turn the text after the block into code.
# Possessive quantifiers visit each line once; Python's re mishandles nested ones before 3.11.5.
_FENCED_BLOCK = regex.compile(
    r"""
    ^ [ \t>]*+ (?: (?: [-*+] | \d{1,3}[.)] ) [ \t]++ )?+
    (?P<fence> `{3,}+ (?= [^`\n]*+ $ ) | ~{3,}+ ) [^\n]*+
    (?: \n (?! [ \t>]*+ (?P=fence) [`~]*+ [ \t\r]*+ $ ) [^\n]*+ )*+
    (?: \n [^\n]*+ )?+
    """,
    regex.MULTILINE | regex.VERBOSE,
)

# As in CommonMark: closed by the next run of equally many backticks within the paragraph. The limit on skipped runs
# bounds the work for runs that are never closed.
_IN_PARAGRAPH = r"(?: [^`\n]++ | \n (?! [^\S\n]*+ \n ) )*+"
_CODE_SPAN = regex.compile(
    rf"""
    (?P<ticks> ` (?<! `` ) `*+ )
    (?: {_IN_PARAGRAPH} (?! (?P=ticks) (?! ` ) ) `++ ){{0,40}}+
    {_IN_PARAGRAPH} (?P=ticks) (?! ` )
    """,
    regex.VERBOSE,
)
_MAX_FENCE_LENGTH = 200
# A longer match is text between two stray backticks.
_MAX_CODE_SPAN_LENGTH = 1000

# Paths may have letters of any script; punctuation at the end and the characters after a Markdown link do not belong to
# the URL.
_NOT_IN_URL = rf"\s<>)\]*|\"`“”‘’…{OPENING}{CLOSING}{COMMAS}{FULL_STOPS}"
# A URL directly before a number in full-width digits includes that number.
_URL = regex.compile(rf"(?:https?|ftp)?://(?:[^{_NOT_IN_URL}]++|(?<=\d)[．，：](?=\d))++")
_NOT_LAST_IN_URL = ".,;:!?'([_~"


def mask_code_and_urls(text: str) -> str:
    """Return the text at its length with code and URLs masked; newlines of blocks stay, as chunks may end there."""
    # The test for a character is much faster than a pattern, and most texts have no code.
    if "`" in text or "~" in text:
        if "```" in text or "~~~" in text:
            text = _FENCED_BLOCK.sub(lambda block: _mask(block[0]), text)
        text = _CODE_SPAN.sub(_mask_span, text)
    if "/" in text:
        text = _URL.sub(_mask_url, text)
    return text


_STEP = 4096  # characters
_OVERLAP = 64


def search(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str] | None:
    """Search a pattern from an index in steps, since ``re`` holds the interpreter lock while it searches.

    The result is that of one search, for patterns whose matches at the end of a step show that more text may follow: a
    match that ends near it is searched again.
    """
    step = _STEP
    while True:
        end = at + step
        found = pattern.search(text, at, end)
        if end >= len(text) or (found is not None and found.end() <= end - _OVERLAP):
            return found
        if found is None:
            at = end - _OVERLAP
        elif found.start() > at:
            at = found.start()
        else:
            step *= 2


def open_fence(text: str, at: int) -> str:
    """Return the opening line of the fenced block around an index, without its language; empty if there is none."""
    if "```" in text or "~~~" in text:
        for block in _FENCED_BLOCK.finditer(text, 0):
            if block.start() >= at:
                break
            if at < block.end():
                opening = text[block.start() : block.end("fence")]
                return f"{opening}\n" if len(opening) <= _MAX_FENCE_LENGTH else ""
    return ""


_ASCII_MASK = {code: "\n" if code == 10 else _MASKED_SPACE if chr(code).isspace() else MASK for code in range(128)}
_BLANK = regex.compile(r"[^\S\n]")  # the regex package releases the interpreter lock while it searches
_WORD = regex.compile(r"\S+")


def _mask(code: str) -> str:
    if code.isascii():
        return code.translate(_ASCII_MASK)
    return _WORD.sub(lambda word: MASK * len(word[0]), _BLANK.sub(_MASKED_SPACE, code))


def _mask_url(url: regex.Match[str]) -> str:
    shown = url[0].rstrip(_NOT_LAST_IN_URL)
    if shown.endswith("//"):  # nothing but the scheme
        return url[0]
    return MASK * len(shown) + url[0][len(shown) :]


def _mask_span(span: regex.Match[str]) -> str:
    code = span[0]
    return _mask(code.replace("\n", " ")) if len(code) <= _MAX_CODE_SPAN_LENGTH else code
