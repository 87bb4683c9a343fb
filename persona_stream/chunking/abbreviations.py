"""Full stops that end no sentence: those of abbreviations, initials, and numbers of a list."""

from __future__ import annotations

import re

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

LONGEST_ABBREVIATION = 6
# Not of letters of any script, or 如Dr were one word.
_SHORT_WORD = re.compile(rf"(?<![A-Za-z0-9.])(?:[A-Za-z.]{{1,{LONGEST_ABBREVIATION}}}|\d{{1,3}})\Z")
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
    found = _SHORT_WORD.search(text, max(0, stop - LONGEST_ABBREVIATION - 1), stop)
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
