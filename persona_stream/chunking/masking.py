"""What must stay whole is hidden, so that whoever looks for a place to cut finds none there.

The mask of a text has its length. Code and addresses become ``X``, and the blanks in them a blank that nobody cuts
behind. The newlines of a fenced block stay: there it may be cut.
"""

from __future__ import annotations

import regex

from persona_stream.chunking.letters import CLOSING, COMMAS, FULL_STOPS, OPENING

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


def mask(text: str) -> str:
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
