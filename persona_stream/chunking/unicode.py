"""Classes of characters, each as the inside of a regular expression's ``[...]``.

*Wide* are the scripts that are written without spaces: Han, kana, bopomofo, Thai.

Sources: Unicode's blocks; for what may not begin or end a line, JIS X 4051 (kinsoku) and the W3C's *Requirements
for Chinese Text Layout*.

What must stay whole is hidden, so that whoever looks for a place to cut finds none there.

The mask of a text has its length. Code and addresses become ``X``, and the blanks in them a blank that nobody cuts
behind. The newlines of a fenced block stay: there it may be cut.
"""

from __future__ import annotations

import regex

HAN = "\u2e80-\u2fdf\u3005-\u3007\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BOPOMOFO = "\u3105-\u312f\u31a0-\u31bf"
HIRAGANA = "\u3041-\u3096\u309d-\u309f"
# Vowels that are written before their consonant; vowels and signs that are written behind it.
THAI_LEADING = "\u0e40-\u0e44"
_THAI_FOLLOWING = "\u0e2f-\u0e3a\u0e45-\u0e4e"
_THAI = "\u0e01-\u0e2e" + THAI_LEADING + _THAI_FOLLOWING

WIDE = HAN + _BOPOMOFO + HIRAGANA + _THAI
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ\u31f0-\u31ffｧ-ｯ"
_REPEATERS = "ー々〻ゝゞヽヾ\uff70\uff9e\uff9f"
NOT_FIRST = _SMALL_KANA + _REPEATERS + _THAI_FOLLOWING
# 第 belongs to the number behind it.
NOT_LAST = "第" + THAI_LEADING
# ๆ repeats the word before it and has a space behind it that ends nothing.
THAI_LAST = "\u0e01-\u0e45\u0e47-\u0e4e"
THAI_FIRST = "\u0e01-\u0e2e" + THAI_LEADING

# Emoji, and what follows one or a kana as a part of it: variation selectors, skin tones, joiners, voicing marks.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d"
ATTACHED = "\ufe00-\ufe0f\u3099\u309a\U000e0100-\U000e01ef"

# Punctuation of the wide scripts.
OPENING = "（「『【《〈〔〖［｛｟｢"
CLOSING = "）」』】》〉〕〗］｝｠｣"
COMMAS = "，、：；､"
FULL_STOPS = "。！？｡．"

# Stops that end a sentence whatever is behind them, and all of them.
SURE_STOPS = "。！？；｡．।॥؟۔"
STOPS = SURE_STOPS + ".!?…‥"
# What stays with the sentence that it closes.
CLOSERS = CLOSING + r"”’»\"')\]>*_~" + EMOJI + ATTACHED

HIDDEN = "X"
# Hiding ASCII behind ASCII is much the fastest, and this is its one blank that no text uses.
_HIDDEN_BLANK = "\x1f"

# From a line that opens a block to the one that closes it, or to the end. Models indent blocks, quote them and put
# them in lists, and a block that is missed turns the text behind it inside out: so any indentation will do.
# Possessive throughout: each line is looked at once. Python's own re has that too, and goes wrong before 3.11.5 where
# one is within another.
_FENCED_BLOCK = regex.compile(
    r"""
    ^ [ \t>]*+ (?: (?: [-*+] | \d{1,3}[.)] ) [ \t]++ )?+
    (?P<fence> `{3,}+ (?= [^`\n]*+ $ ) | ~{3,}+ ) [^\n]*+
    (?: \n (?! [ \t>]*+ (?P=fence) [`~]*+ [ \t\r]*+ $ ) [^\n]*+ )*+
    (?: \n [^\n]*+ )?+
    """,
    regex.MULTILINE | regex.VERBOSE,
)

# As CommonMark has it: closed by the next run of as many backticks, within the paragraph. That at most so many other
# runs are skipped on the way to it keeps the work in proportion when none of them is ever closed.
_IN_PARAGRAPH = r"(?: [^`\n]++ | \n (?! [^\S\n]*+ \n ) )*+"
_CODE_SPAN = regex.compile(
    rf"""
    (?P<ticks> ` (?<! `` ) `*+ )
    (?: {_IN_PARAGRAPH} (?! (?P=ticks) (?! ` ) ) `++ ){{0,40}}+
    {_IN_PARAGRAPH} (?P=ticks) (?! ` )
    """,
    regex.VERBOSE,
)
# What is longer is text between two stray backticks.
_LONGEST_SPAN = 1000

# Paths may have letters of any script; the punctuation behind an address is not the address's, nor what a link in
# Markdown has behind it.
_NOT_IN_ADDRESS = rf"\s<>)\]*|\"`“”‘’…{OPENING}{CLOSING}{COMMAS}{FULL_STOPS}"
# It may run on into a number in wide digits, and then has all of that.
_ADDRESS = regex.compile(
    rf"(?:https?|ftp)?://(?:[^{_NOT_IN_ADDRESS}]|(?<=\d)[．，：](?=\d))*[^{_NOT_IN_ADDRESS}.,;:!?'(\[_~]"
)


class _Hiding(dict[int, str]):
    """Say what hides a character, by its code point."""

    def __missing__(self, code: int) -> str:
        return _HIDDEN_BLANK if chr(code).isspace() else HIDDEN


_HIDING = _Hiding({ord("\n"): "\n"})
_HIDING.update({code: _HIDING[code] for code in range(128)})


def mask_code_and_urls(text: str) -> str:
    """Give the text with its code and its addresses hidden."""
    # Looking for one character is much faster, and most texts have none.
    if "`" in text or "~" in text:
        if "```" in text or "~~~" in text:
            text = _FENCED_BLOCK.sub(lambda block: _hide(block[0]), text)
        text = _CODE_SPAN.sub(_hide_span, text)
    if "/" in text:
        text = _ADDRESS.sub(lambda address: HIDDEN * len(address[0]), text)
    return text


def _hide(code: str) -> str:
    return code.translate(_HIDING)


def _hide_span(span: regex.Match[str]) -> str:
    code = span[0]
    return _hide(code.replace("\n", " ")) if len(code) <= _LONGEST_SPAN else code
