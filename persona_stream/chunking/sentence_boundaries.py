"""Sentence boundaries.

``。！？；……`` always end a sentence; ``. ! ?`` do before whitespace, the end of the text, or a letter of a script
without spaces. Closing quotes, brackets and whitespace stay with the sentence. A newline ends a sentence too, so that
lists and poems are delivered line by line. Full stops of abbreviations, initials and list numbers end none.
"""

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
    UNSPACED,
    search,
)  # fmt: skip

# Never the last word of a sentence.
_NEVER_LAST = """
    dr mr mrs ms mx prof rev hon gen col capt lt sgt maj gov sen rep messrs mme mlle mt
    e.g eg i.e ie cf viz vs approx resp incl esp z.b d.h u.a bzw bspw evtl ggf inkl zzgl vgl sog mio mrd
"""
# Abbreviations only before a number; "No." is also an answer.
_BEFORE_NUMBER = """
    no nos nr p pp fig figs vol vols ch sec eq eqs art c ca ed
    jan feb mar apr jun jul aug sep sept oct nov dec
"""
# These may also be the last word of a sentence.
_AMBIGUOUS = "etc inc ltd co corp bros llc jr sr st ave blvd dept univ al ph.d m.sc b.sc esq est"
_NEVER_LAST_WORDS = frozenset(_NEVER_LAST.split())
_BEFORE_NUMBER_WORDS = frozenset(_BEFORE_NUMBER.split())
_AMBIGUOUS_WORDS = frozenset(_AMBIGUOUS.split())

# Months after a day in the languages that write ordinals with a full stop (fnl/syntok #28, stanfordnlp/stanza #617).
_MONTH = re.compile(
    r"(?:Januar|Jänner|Februar|März|Marts|Mai|Maj|Juni|Juli|April|August|September|Oktober|November|Dezember|Desember)\b"
)
# German words before an ordinal: "der 17. Versuch", "vom 1. FC Köln"; "I am 30. He" is not one.
_BEFORE_ORDINAL = re.compile(
    r"(?:\b(?:[Dd](?:er|ie|as|em|en|es)|[Vv]om|[Zz]u[mr]|[Ii]m|[Bb]eim|[Jj]ede[rsmn]?|[Ss]ein|[Ii]hr)"
    r"|(?<!\bI )\b[Aa]m)[ ]\Z"
)
_MAX_ORDINAL_CONTEXT = 12
# Abbreviations of spaced letters: z. B., d. h., i. d. R.
_SPACED_LETTER = re.compile(r"\b[A-Za-zÄÖÜäöü]\.[ \u00a0\u202f]\Z")

MAX_ABBREVIATION_LENGTH = 6
# ASCII letters only, else 如Dr would be one word.
_SHORT_WORD = re.compile(rf"(?<![A-Za-z0-9.])(?:[A-Za-z.]{{1,{MAX_ABBREVIATION_LENGTH}}}|\d{{1,3}})\Z")
_INITIALS = re.compile(r"[A-Z]|(?:[A-Za-z]\.)+[A-Za-z]")
_LIST_NUMBER = re.compile(r"\d+|[a-z]|[ivx]+")
_LINE_START = re.compile(r"(?:^|\n)[\s>#*_(-]*\Z")
_MAX_INDENT = 40

# Words that start a sentence and seldom a name: after an ambiguous abbreviation they decide.
_OPENS_SENTENCE = re.compile(
    r"[\"'“‘(*_]*(?:The|This|That|These|Those|It|Its|He|She|We|You|They|I|An?|But|And|Or|So|If|In|On|At|As|For|From|To"
    r"|When|While|Where|Why|How|What|Who|Which|Then|There|Here|However|After|Before|Although|Because|Since|Not|No|Yes|Is"
    r"|Are|Do|Does|Did|Can|My|Our|Your|His|Her|Their|One|Some|Many|Most|All|Each|Every|Both|Let|Please|Also|Even|Now)"
    r"(?=[\s,'’]|\Z)"
)


def is_abbreviation(text: str, stop: int, following: int) -> bool:
    """Return whether the full stop at ``stop`` belongs to an abbreviation, an initial or a list number.

    ``following`` is the index of the first character after the whitespace behind the full stop.
    """
    found = _SHORT_WORD.search(text, max(0, stop - MAX_ABBREVIATION_LENGTH - 1), stop)
    if found is None:
        return False
    word = found[0].lower()
    if word in _NEVER_LAST_WORDS:
        return True
    if word in _BEFORE_NUMBER_WORDS:
        return text[following : following + 1].isdigit()
    if word in _AMBIGUOUS_WORDS or _INITIALS.fullmatch(found[0]):
        return _OPENS_SENTENCE.match(text, following) is None
    if len(word) == 1 and _SPACED_LETTER.search(text, max(0, found.start() - 4), found.start()):
        return True
    if word.isdigit() and text[following : following + 1].isupper():
        before = text[max(0, found.start() - _MAX_ORDINAL_CONTEXT) : found.start()]
        if _MONTH.match(text, following) or _BEFORE_ORDINAL.search(before):
            return True
    if _LIST_NUMBER.fullmatch(word):
        return _LINE_START.search(text, max(0, found.start() - _MAX_INDENT), found.start()) is not None
    return False


# The indentation after the last newline belongs to the next line.
_MORE_LINES = r"(?: \s* \n )?+ (?: \s* \Z )?+"
# Most English sentences end like this, and no abbreviation does.
_SURE_IN_ENGLISH = rf"(?: (?<= [a-z]{{{MAX_ABBREVIATION_LENGTH + 1}}} \. ) | (?<= [!?] ) ) (?= [ ] [A-Z] )"
# The pattern starts with one plain class, so that the engine skips quickly to the candidates.
_CANDIDATE = re.compile(
    rf"""
    [{STOPS}\n]
    (?:
        (?<= [{STOPS}] )
        (?! (?<= [.!?] ) [0-9A-Za-z] )             # 3.14  a.b
        (?! (?<= \d ． ) \d )
        (?! (?<= \. ) [ ]++ [a-z.] )               # e.g. this . . .
        (?! (?<= \b [A-Za-z] \. ) [ \u00a0\u202f] [A-Za-zÄÖÜ] \. )      # J. R. R.  z. B.
        # A run of stops is matched as a whole; a retry from each stop would be quadratic.
        (?<! [{STOPS}]{{2}} )
        [{STOPS}]*+ (?: (?P<sure> (?<= [{SURE_STOPS}] ) | (?<= …… ) | {_SURE_IN_ENGLISH} ) | )
        (?P<closers>
            (?: [ \u00a0\u202f] [»›] (?= [\s{COMMAS},.;:!?)] | \Z ) | )     # « Bonjour ! »
            [{CLOSERS}]*+ (?: (?: \[ \^? \w{{1,3}} \] [{CLOSERS}]*+ )++ | )
        )
        (?(sure) (?! [{COMMAS},{STOPS}] ) | (?= [\s{UNSPACED}{KATAKANA}{OPENING}] | \Z ) )
        (?! [{NOT_FIRST}] )
        [^\S\n]*+ (?: \n {_MORE_LINES} | )
    |   (?<= \n ) {_MORE_LINES}
    )
    """,
    re.VERBOSE,
)

_AT_END = regex.compile(rf"(?r)(?P<stops>[{STOPS}]+)(?:[{CLOSERS}]|[ \u00a0\u202f](?=[»›])|\[\^?\w{{1,3}}\])*")

# These marks open and close: they close if an odd number of them precedes in the line.
_PAIRED_MARK = re.compile(r"\"|\*+|_+|~+")
# Long enough for a sentence, and a bound for a text that consists of such marks.
_MAX_QUOTE_LENGTH = 300
# Long enough for stops, closing marks and white space, and a bound for the pacing of large chunks.
_MAX_END_LENGTH = 100


def next_sentence_end(text: str, at: int) -> int:
    """Return the first sentence end after ``at``, or the end of the (masked) text."""
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
        # "What?" he said.  Wait... what?
        elif continues and (blanks > closers or text[closers - 1] not in "!?"):
            return 0
    if blanks == end and closers < end:
        mark = _PAIRED_MARK.search(text, closers, end)
        if mark and _is_opening(text, mark[0], start):
            return mark.start()
    return end


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
