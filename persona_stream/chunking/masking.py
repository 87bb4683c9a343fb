"""Masking: copies of a text for the rules of boundaries, without what these rules do not know.

In a masked text, code and URLs have neither boundaries nor punctuation. In the running text, stops that end no sentence
are letters as well: in table rows, link texts, inline maths, omission marks, and in the brackets and quotations of
Chinese and Japanese. A line break that only wraps a sentence becomes a blank. The blank before an item of a list within
a line becomes a line break. A stop that a script shares with other punctuation (the Armenian colon) becomes the
script's own.

Invariants:
    Each copy has the length of its text.
    The work for a text is linear in its length.
"""

import re
import unicodedata
from itertools import pairwise

import regex

from persona_stream.chunking.abbreviations import is_abbreviation
from persona_stream.chunking.quotations import mask_quotations
from persona_stream.chunking.unicode import BLOCK_MASK, CLOSING, COMMAS, FULL_STOPS, MASK, OPENING, STOP, STOPS

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

# As in pandoc: no blank inside the marks, no digit behind them, so that prices are no formula.
_FORMULA = re.compile(
    r"\$\$?(?=[^\s$])[^$\n]{1,500}(?<=\S)\$\$?(?!\d)"
    r"|\\(?:\((?:[^\n\\]|\\[^\n()\[\]])*\\\)|\[(?:[^\n\\]|\\[^\n()\[\]])*\\\])"
)
_LINK_DEFINITION = re.compile(r"^[ \t>]*\[[^\[\]\n]{1,200}\]:[ ][^\n]*", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[ \t>]*\|[^\n]*", re.MULTILINE)
# Two levels of brackets, for images and notes in a link text.
_LINK = re.compile(r"\[((?:[^\[\]\n]|\[[^\[\]\n]{0,200}\]){1,500})\](?:\([^()\n]{0,500}\)|\[[^\[\]\n]{0,200}\])")
_OMISSION = re.compile(r"\[ ?(?:\.{2,4}|…) ?\]")
# Three spaced dots are an ellipsis. A fourth ends the sentence: before them, or behind them at the end of the text.
_SPACED_ELLIPSIS = re.compile(r"(?<!\. )(?P<full_stop>(?<=\w)\.[ ])?(?P<dots>\.[ ]\.[ ]\.)(?P<last>[ ]\.)?(?![ ]?\.)")

MIN_WRAPPED_COLUMNS = 50
"""Width of a line from which it may have been wrapped; shorter lines are verses, items or headings."""
_MIN_COLUMNS_BEFORE_CAPITAL = 60
_MAX_COLUMNS = 200
# A full stop may be that of an abbreviation.
_BEFORE_BREAK = rf"[^\s{STOPS.replace('.', '')}:：|\\{BLOCK_MASK}]"
_LINE_BREAK = re.compile(
    rf"\n(?:(?<={_BEFORE_BREAK}\n)|(?<={_BEFORE_BREAK}\r\n))"
    r"(?P<indent>[ \t>]*)(?!\d{1,3}[.)])(?P<first>[*_(（“\"'「]{0,2}[^\W_])"
)
_INDENT = re.compile(r"[ \t>]*(?:(?:[-*+•]|\d{1,3}[.)])[ \t]+)?")

_BULLETS = re.compile(r"^[ \t>]*[•⁃][^\n]*", re.MULTILINE)
_BLANK_AND_BULLET = re.compile(r" (?=[•⁃])")
_FIRST_ITEM = re.compile(r"^[ \t>]*(?P<mark>[1a])(?P<end>\.\)|[.)])[ ]", re.MULTILINE)
_SECOND_ITEM = re.compile(r"2(?<= 2)(?:\.\)|[.)]) ")
# "as in step 2. Then" refers to an item.
_REFERENCE = re.compile(
    r"(?:\b(?:step|version|chapter|section|figure|table|part|phase|page|level|no|and|or|to))\Z", re.I
)
_MAX_REFERENCE_LENGTH = 12
_MAX_ITEMS = 100

# An Arabic or Armenian colon and a Greek semicolon. The first class lets the engine skip quickly to the candidates.
_SHARED_STOP = re.compile(
    r"[:;](?:(?<=[\u0621-\u064a]:)(?= [\u0621-\u064a])|(?<=[\u0561-\u0587…]:)(?=\s|\Z)|(?<=[\u03ac-\u03ce];)(?=\s|\Z))"
)
_OWN_STOPS = {":": "։", ";": "\u037e"}


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
        for block in _FENCED_BLOCK.finditer(text):
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


def running_text(text: str, *, is_unspaced: bool) -> str:
    """Return the running text of a masked text; ``is_unspaced`` says whether it has letters of unspaced scripts."""
    # The test for a character is much faster than a pattern, and most texts have few of these.
    if "|" in text:
        text = _TABLE_ROW.sub(_mask_stops, text)
    if "[" in text:
        if "](" in text or "][" in text:
            text = _LINK.sub(_mask_link, text)
        if "]: " in text:
            text = _LINK_DEFINITION.sub(_mask_stops, text)
        text = _OMISSION.sub(_mask_stops, text)
    if text.count("$") > 1 or "\\" in text:
        text = _FORMULA.sub(_mask_stops, text)
    if ". . ." in text:
        text = _SPACED_ELLIPSIS.sub(_mask_ellipsis, text)
    if is_unspaced:
        text = mask_quotations(text)
    elif not text.isascii():
        text = _SHARED_STOP.sub(lambda stop: _OWN_STOPS[stop[0]], text)
    if "\n" in text:
        text = _LINE_BREAK.sub(_join_lines, text)
    if "•" in text or "⁃" in text:
        text = _BULLETS.sub(lambda line: _BLANK_AND_BULLET.sub("\n", line[0]), text)
    if ("2" in text and _SECOND_ITEM.search(text)) or text.startswith("a") or "\na" in text:
        text = _split_items(text)
    return text


def _mask_stops(found: re.Match[str]) -> str:
    return STOP.sub(MASK, found[0])


def _mask_link(link: re.Match[str]) -> str:
    shown = STOP.sub(MASK, link[0])
    # A link that is a sentence ends behind its target.
    is_sentence = link[1][-1] in STOPS and link.string[link.end() : link.end() + 1].isspace()
    return f"{shown[:-1]}." if is_sentence else shown


def _mask_ellipsis(found: re.Match[str]) -> str:
    text = found.string
    following = text[found.end() : found.end() + 2].lstrip(" ")
    is_last = following == "" or following[0] in "\n”\"'’»)"
    dots = "X X X"
    if found["last"]:
        return dots + found["last"]
    if not found["full_stop"]:
        return found[0] if is_last else dots
    return f"{dots} ." if is_last else f". {dots}"


def _join_lines(found: re.Match[str]) -> str:
    text = found.string
    end = found.start()
    start = max(text.rfind("\n", 0, end) + 1, end - _MAX_COLUMNS)
    line = text[start:end]
    first = found["first"][-1]
    stop = end - (text[end - 1] == "\r") - 1
    if text[stop] == "." and not is_abbreviation(text, stop, found.end("indent")):
        return found[0]
    is_continued = first.islower() or unicodedata.category(first) == "Lo"
    columns = len(line) if line.isascii() else sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
    if columns < (MIN_WRAPPED_COLUMNS if is_continued else _MIN_COLUMNS_BEFORE_CAPITAL) or line.lstrip().startswith(
        "#"
    ):
        return found[0]
    indent = _INDENT.match(line)
    if indent is None or indent.end() != len(found["indent"]):
        return found[0]
    return f" {found[0][1:]}"


def _split_items(text: str) -> str:
    """Return the text with a line break before each item of a list that is written in one line."""
    ends = []
    for first in _FIRST_ITEM.finditer(text):
        line_end = text.find("\n", first.end())
        at = first.end()
        for number in range(1, _MAX_ITEMS):
            mark = chr(ord("a") + number % 26) if first["mark"] == "a" else str(number + 1)
            at = text.find(f" {mark}{first['end']} ", at, line_end if line_end >= 0 else len(text))
            if at < 0 or _REFERENCE.search(text, max(0, at - _MAX_REFERENCE_LENGTH), at):
                break
            ends.append(at)
    parts = [text[at + 1 : end] for at, end in pairwise([-1, *ends, len(text)])]
    return "\n".join(parts)
