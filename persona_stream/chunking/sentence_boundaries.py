"""Sentence boundaries.

In running text ``。！？；……`` always end a sentence. ``. ! ?`` do before whitespace, the end of the text, or a letter
of a script without spaces. Closing quotes, brackets and whitespace stay with the sentence. A newline ends a sentence
too, so that lists and poems are delivered line by line. Full stops of abbreviations, initials and list numbers end
none.
"""

import re

import regex

from persona_stream.chunking.abbreviations import MAX_ABBREVIATION_LETTERS, is_abbreviation, is_exclaimed_name
from persona_stream.chunking.unicode import (
    CLOSERS,
    COMMAS,
    EMOJI,
    KATAKANA,
    MOOD_EMOJI,
    NOT_FIRST,
    OPENING,
    STOPS,
    SURE_STOPS,
    UNSPACED,
)  # fmt: skip

# The indentation after the last newline belongs to the next line.
_MORE_LINES = r"(?: \s* \n )?+ (?: \s* \Z )?+"
# Most English sentences end like this, and no abbreviation does.
_SURE_IN_ENGLISH = rf"(?: (?<= [a-z]{{{MAX_ABBREVIATION_LETTERS + 1}}} \. ) | (?<= [!?] ) ) (?= [ ] [A-Z] )"
# The pattern starts with one plain class, so that the engine skips quickly to the candidates.
_CANDIDATE = re.compile(
    rf"""
    [{STOPS}\n]
    (?:
        (?<= [{STOPS}] )
        (?! (?<= [.!?] ) [0-9A-Za-z] )             # 3.14  a.b
        (?! (?<= \d ． ) \d )
        (?! (?<= \. ) [ ]++ (?: [a-z] | \. (?! \. ) ) )     # e.g. this . . .
        (?! (?<= \b [A-Za-z] \. ) [ \u00a0\u202f] [A-Za-zÄÖÜ] \. )      # J. R. R.  z. B.
        # A run of stops is matched as a whole; a retry from each stop would be quadratic.
        (?<! [{STOPS}]{{2}} )
        [{STOPS}]*+ (?: (?P<sure> (?<= [{SURE_STOPS}] ) | (?<= …… ) | {_SURE_IN_ENGLISH} ) | )
        (?P<closers>
            (?: [ \u00a0\u202f] [»›] (?= [\s{COMMAS},.;:!?)] | \Z ) | )     # « Bonjour ! »
            [{CLOSERS}]*+ (?: (?: (?: \[ \^? \w{{1,3}} \] | </ [a-z]{{1,10}} > ) [{CLOSERS}]*+ )++ | )
            (?: [“‘] (?= [\s,.;:!?)] | \Z ) | )       # „Und auch keine Lust.“ Wir
            (?: [ ] (?:
                (?: (?<= [!?] [ ] ) [{MOOD_EMOJI}] [{EMOJI}]*+ | [:;] -? [)D] ) (?= \s | \Z )       # Great! 🎉 Next
            |   [{EMOJI}]++ (?= [^\S\n]*+ (?: \n | \Z ) )
            ) | )
        )
        (?(sure) (?! [{COMMAS},{STOPS}] ) | (?= [\s{UNSPACED}{KATAKANA}{OPENING}] | \Z ) )
        (?! [{NOT_FIRST}] )
        [^\S\n]*+ (?: \n {_MORE_LINES} | )
    |   (?<= \n ) {_MORE_LINES}
    )
    """,
    re.VERBOSE,
)

_AT_END = regex.compile(rf"(?r)(?P<stops>[{STOPS}]+)(?:[{CLOSERS}“‘]|[ \u00a0\u202f](?=[»›])|\[\^?\w{{1,3}}\])*")

# "Is it?" Anna asked.
_REPORTING_CLAUSE = re.compile(
    r"(?:(?:I|[A-Z][a-z'’-]+)[ ]){1,2}(?:said|says|asked|asks|cried|replied|shouted|answered|exclaimed|whispered|yelled"
    r"|called|muttered|wondered|demanded|added|screamed|repeated|thought)\b"
)
_QUOTES = "\"”’»'"
_DASHES = "-–—"
# These marks open and close: they close if an odd number of them precedes in the line.
_PAIRED_MARK = re.compile(r"\"|\*+|_+|~+")
# Long enough for a sentence, and a bound for a text that consists of such marks.
_MAX_QUOTE_LENGTH = 300
# Long enough for stops, closing marks and white space, and a bound for the pacing of large chunks.
_MAX_END_LENGTH = 100


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


def next_sentence_end(text: str, at: int) -> int:
    """Return the first sentence end after ``at``, or the end of the running text."""
    while found := search(_CANDIDATE, text, at):
        if end := _sentence_end(text, found):
            return end
        at = found.end()
    return len(text)


def _sentence_end(text: str, found: re.Match[str]) -> int:
    """Return the end of the sentence, or 0 if the candidate does not end one."""
    start, end = found.span()
    if end == len(text) or text[end - 1] == "\n":
        return end
    closers, blanks = found.span("closers")
    if found["sure"] is None:
        continues = text[end].islower()
        if closers - start == 1 and text[start] == ".":
            # 1.第一点 is a list number, also within a line.
            if continues or (blanks == end and text[start - 1 : start].isdigit()) or is_abbreviation(text, start, end):
                return 0
        elif _is_continued(text, closers, blanks, end):
            return 0
    if blanks == end and closers < end:
        mark = _PAIRED_MARK.search(text, closers, end)
        if mark and _is_opening(text, mark[0], start):
            return mark.start()
    return end


def _is_continued(text: str, closers: int, blanks: int, end: int) -> bool:
    """Return whether the sentence goes on behind other stops than a full stop."""
    if not text[end].islower():
        # — Да! — сказал он: the clause behind the dash reports the speech.
        if text[end] in _DASHES:
            return text[end + 1 : end + 2] == " " and text[end + 2 : end + 3].islower()
        return closers < blanks and text[blanks - 1] in _QUOTES and _REPORTING_CLAUSE.match(text, end) is not None
    # "What?" he said.  Wait... what?  She works at Yahoo! in London.
    return blanks > closers or text[closers - 1] not in "!?" or is_exclaimed_name(text, closers - 1)


def _is_opening(text: str, mark: str, at: int) -> bool:
    line = max(text.rfind("\n", 0, at) + 1, at - _MAX_QUOTE_LENGTH)
    return text.count(mark, line, at) % 2 == 0


def ends_sentence(chunk: str) -> bool:
    """Return whether a chunk ends with a sentence or a line, judged from the end of the chunk alone."""
    chunk = chunk[-_MAX_END_LENGTH:]
    core = chunk.rstrip()
    if "\n" in chunk[len(core) :]:
        return True
    if not core or core[-1].isalnum():
        return False
    found = _AT_END.match(core)
    if found is None:
        return False
    return found["stops"] != "." or not is_abbreviation(core, found.start(), len(core))
