"""Where sentences end.

``。！？；……`` end one wherever they are. ``. ! ?`` do before a blank, the end, or a letter of a script without
spaces. Closing quotes and brackets stay with the sentence, and so do the blanks behind it. So that a poem and a
list come line by line, a newline ends one too. In Thai, which has no full stop, a space does.

Full stops that end no sentence: those of abbreviations, initials, and numbers of a list.
"""

from __future__ import annotations

import re

import regex

from persona_stream.chunking.unicode import (
    CLOSERS,
    COMMAS,
    KATAKANA,
    NOT_FIRST,
    OPENING,
    STOPS,
    SURE_STOPS,
    THAI_FIRST,
    THAI_LAST,
    WIDE,
)

# Followed by what they shorten or introduce, whatever it is.
_NEVER_LAST = """
    dr mr mrs ms mx prof rev hon gen col capt lt sgt maj gov sen rep messrs mme mlle mt
    e.g eg i.e ie cf viz vs approx resp incl esp z.b d.h u.a bzw
"""
# Abbreviations only before a number; "No." is also an answer.
_BEFORE_NUMBER = """
    no nos nr p pp fig figs vol vols ch sec eq eqs art c ca ed
    jan feb mar apr jun jul aug sep sept oct nov dec
"""
# These may also be the last word of a sentence.
_DOUBTFUL = "etc inc ltd co corp bros llc jr sr st ave blvd dept univ al ph.d m.sc b.sc esq est"

_NEVER = frozenset(_NEVER_LAST.split())
_NUMBERED = frozenset(_BEFORE_NUMBER.split())
_MAYBE = frozenset(_DOUBTFUL.split())

MAX_ABBREVIATION_LENGTH = 6
# Not of letters of any script, or 如Dr were one word.
_SHORT_WORD = re.compile(rf"(?<![A-Za-z0-9.])(?:[A-Za-z.]{{1,{MAX_ABBREVIATION_LENGTH}}}|\d{{1,3}})\Z")
_INITIALS = re.compile(r"[A-Z]|(?:[A-Za-z]\.)+[A-Za-z]")
_LIST_NUMBER = re.compile(r"\d+|[a-z]|[ivx]+")
_LINE_START = re.compile(r"(?:^|\n)[\s>#*_(-]*\Z")
_LONGEST_INDENT = 40

# Words that open a sentence, and seldom a name: behind one of the doubtful ones they decide.
_OPENS_SENTENCE = re.compile(
    r"[\"'“‘(*_]*(?:The|This|That|These|Those|It|Its|He|She|We|You|They|I|An?|But|And|Or|So|If|In|On|At|As|For|From|To"
    r"|When|While|Where|Why|How|What|Who|Which|Then|There|Here|However|After|Before|Although|Because|Since|Not|No|Yes|Is"
    r"|Are|Do|Does|Did|Can|My|Our|Your|His|Her|Their|One|Some|Many|Most|All|Each|Every|Both|Let|Please|Also|Even|Now)"
    r"(?=[\s,'’]|\Z)"
)


def is_abbreviation(text: str, stop: int, following: int) -> bool:
    """Tell whether the full stop at ``stop`` is that of an abbreviation, and ends no sentence.

    Args:
        text: the text.
        stop: the index of the full stop.
        following: the index of what follows the blanks behind it.
    """
    found = _SHORT_WORD.search(text, max(0, stop - MAX_ABBREVIATION_LENGTH - 1), stop)
    if found is None:
        return False
    word = found[0].lower()
    if word in _NEVER:
        return True
    if word in _NUMBERED:
        return text[following : following + 1].isdigit()
    if word in _MAYBE or _INITIALS.fullmatch(found[0]):
        return _OPENS_SENTENCE.match(text, following) is None
    if _LIST_NUMBER.fullmatch(word):
        return _LINE_START.search(text, max(0, found.start() - _LONGEST_INDENT), found.start()) is not None
    return False


# The indentation behind the last newline belongs to what is indented.
_MORE_LINES = r"(?: \s* \n )?+ (?: \s* \Z )?+"
# Most sentences end like this, and no abbreviation does: then nothing more has to be asked.
_SURE_IN_ENGLISH = rf"(?: (?<= [a-z]{{{MAX_ABBREVIATION_LENGTH + 1}}} \. ) | (?<= [!?] ) ) (?= [ ] [A-Z] )"
# It begins with one plain class, and asks everything else afterwards: so the engine skips to the few that matter.
_CANDIDATE = re.compile(
    rf"""
    [{STOPS}\n{THAI_LAST}]
    (?:
        (?<= [{STOPS}] )
        (?! (?<= [.!?] ) [0-9A-Za-z] )             # 3.14  a.b
        (?! (?<= \d ． ) \d )
        (?! (?<= \. ) [ ]++ [a-z.] )               # e.g. this . . .
        (?! (?<= \b [A-Z] \. ) [ ] [A-Z] \. )      # J. R. R.
        # A run of stops is taken whole: tried again from each of its stops, a long one would take for ever.
        (?<! [{STOPS}]{{2}} )
        [{STOPS}]*+ (?: (?P<sure> (?<= [{SURE_STOPS}] ) | (?<= …… ) | {_SURE_IN_ENGLISH} ) | )
        (?P<closers> [{CLOSERS}]*+ (?: (?: \[ \^? \w{{1,3}} \] [{CLOSERS}]*+ )++ | ) )
        (?(sure) (?! [{COMMAS},{STOPS}] ) | (?= [\s{WIDE}{KATAKANA}{OPENING}] | \Z ) )
        (?! [{NOT_FIRST}] )
        [^\S\n]*+ (?: \n {_MORE_LINES} | )
    |   (?<= \n ) {_MORE_LINES}
    |   (?<= [{THAI_LAST}] ) [ ]++ (?= [{THAI_FIRST}] )
    )
    """,
    re.VERBOSE,
)

_AT_END = regex.compile(rf"(?r)(?P<stops>[{STOPS}]+)(?:[{CLOSERS}]|\[\^?\w{{1,3}}\])*")

# These open as well as close: they close if the line has an odd number of them before.
_TWO_FACED = re.compile(r"\"|\*+|_+|~+")
# Far enough for a sentence, and a bound for a text of nothing but these.
_LONGEST_QUOTE = 300


def next_sentence_end(text: str, at: int) -> int:
    """Find the first end of a sentence behind ``at``, or the end of the text.

    Args:
        text: the text, masked.
        at: an index; stops before it are not seen.
    """
    while found := _CANDIDATE.search(text, at):
        end = _end(text, found)
        if end:
            return end
        at = found.end()
    return len(text)


def _end(text: str, found: re.Match[str]) -> int:
    """Say where the sentence ends, or 0 if none ends here."""
    start, end = found.span()
    if end == len(text) or text[end - 1] == "\n" or text[start] not in STOPS:
        return end
    closers, blanks = found.span("closers")
    if found["sure"] is None:
        starts_low = text[end].islower()
        if closers - start == 1 and text[start] == ".":
            # 1.第一点 is a number of a list, also within a line.
            if starts_low or (blanks == end and text[start - 1 : start].isdigit()) or is_abbreviation(text, start, end):
                return 0
        # "What?" he said.  Wait... what?
        elif starts_low and (blanks > closers or text[closers - 1] not in "!?"):
            return 0
    if blanks == end and closers < end:
        two_faced = _TWO_FACED.search(text, closers, end)
        if two_faced and _opens(text, two_faced[0], start):
            return two_faced.start()
    return end


def _opens(text: str, mark: str, at: int) -> bool:
    line = max(text.rfind("\n", 0, at) + 1, at - _LONGEST_QUOTE)
    return text.count(mark, line, at) % 2 == 0


def ends_sentence(piece: str) -> bool:
    """Tell whether a piece ends where a sentence or a line does, as far as can be told from the piece alone."""
    core = piece.rstrip()
    if "\n" in piece[len(core) :]:
        return True
    if not core or core[-1].isalnum():
        return False
    found = _AT_END.match(core)
    if found is None:
        return False
    return found["stops"] != "." or not is_abbreviation(core, found.start(), len(core))
