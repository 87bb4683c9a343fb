"""Masking of code and URLs: a copy of a text in which they have neither boundaries nor punctuation.

Invariants:
    A masked text has the length of its text.
"""

import regex

from persona_stream.chunking.unicode import CLOSING, COMMAS, FULL_STOPS, OPENING

MASK = "X"
# Unlike other masked text, a code block has line breaks, and no sentence continues behind one.
BLOCK_MASK = "\x7f"
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
            text = _FENCED_BLOCK.sub(lambda block: _mask(block[0]).replace(MASK, BLOCK_MASK), text)
        text = _CODE_SPAN.sub(_mask_span, text)
    if "/" in text:
        text = _URL.sub(_mask_url, text)
    return text


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
