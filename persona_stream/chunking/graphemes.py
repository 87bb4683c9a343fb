"""Where grapheme clusters begin and end (UAX #29, extended clusters, as the ``regex`` package knows them).

The law: a cluster is what a reader sees as one character. A text cut inside one shows two wrong characters
until the rest comes, or for ever where pieces are shown one by one.
"""

from __future__ import annotations

import re

import regex

# Flags are paired here: \X alone counts back over the whole run of flags at each of them, which is quadratic. What may
# join to a flag is left to it.
_CLUSTER = regex.compile(
    r"[\U0001F1E6-\U0001F1FF]{2}(?![\p{GCB=Extend}\p{GCB=SpacingMark}\u200D])"
    r"|\X"
)
# The last place before which two characters are enough to know that it is a boundary, whatever else the text holds.
# Each line rules out the rules of UAX #29 that could join the second character to what is before it.
_LAST_SURE = regex.compile(
    r"""(?rx)
      [^\p{GCB=Prepend}] [\p{GCB=Other}--\p{Extended_Pictographic}--\p{InCB=Consonant}]
    | [^\p{GCB=Prepend}\p{GCB=Extend}\u200D] \p{GCB=Other}
    | [^\p{GCB=Prepend}\p{GCB=L}] [\p{GCB=L}\p{GCB=LV}\p{GCB=LVT}]
    | [^\p{GCB=Prepend}\p{GCB=Regional_Indicator}] \p{GCB=Regional_Indicator}
    | . [\p{GCB=Control}\r]
    | [^\r] \n
    """,
    regex.VERSION1 | regex.DOTALL,
)
# A text that has none so near is an odd one, and is walked through.
_NEAR = 40
_FLAGS = regex.compile(r"(?:[\U0001F1E6-\U0001F1FF]{2})++")
# Most places are sure at one look: nothing below the first combining mark joins but CR LF, and no Han or kana joins
# to what is before it, unless that is one of a few Arabic and Indic signs.
_PLAIN = re.compile(
    r"[\x00-\u02ff\u3000-\uffff] [\x00-\x09\x0b-\u02ff\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff]",
    re.VERBOSE,
)


def next_boundary(text: str, known: int, at: int) -> int:
    """Find the first boundary not before ``at``.

    Args:
        text: the text.
        known: a boundary before ``at``; the search never goes back beyond it.
        at: an index into the text, or its length.
    """
    return at if _PLAIN.match(text, at - 1) else enclosing_boundaries(text, known, at)[1]


def enclosing_boundaries(text: str, known: int, at: int) -> tuple[int, int]:
    """Find the last boundary not after ``at``, and the first not before it; both are ``at`` if it is one."""
    if at >= len(text):
        return len(text), len(text)
    if _PLAIN.match(text, at - 1):
        return at, at
    sure = _LAST_SURE.search(text, max(known, at - _NEAR), at + 1)
    before = after = sure.end() - 1 if sure else known
    if before < at:
        # Flags by the thousand are skipped at once, all but the last.
        flags = _FLAGS.match(text, before, at)
        if flags:
            before = after = flags.end() - 2
        clusters = _CLUSTER.finditer(text, before)
        while after < at:
            before, after = after, next(clusters).end()
    return (at, at) if after == at else (before, after)
