"""Boundaries of extended grapheme clusters (UAX #29, as implemented by the ``regex`` package).

A cluster is displayed as one character. A text that is split inside one displays two wrong characters until the rest
arrives, or permanently where chunks are displayed separately.

Invariants:
    The work for one boundary is bounded, and so is the time in which a pattern holds the interpreter lock.
"""

import re

import regex

# Flags are paired here, because \X counts back over the whole run of flags at each of them, which is quadratic. \X
# handles characters that may join to a flag.
_CLUSTER = regex.compile(
    r"[\U0001F1E6-\U0001F1FF]{2}(?![\p{GCB=Extend}\p{GCB=SpacingMark}\u200D])"
    r"|\X"
)
# The last boundary that a few characters determine, regardless of the rest of the text. Each line excludes the rules
# of UAX #29 that could join the last character to the text before it.
_LAST_CERTAIN = regex.compile(
    r"""(?rx)
      [^\p{GCB=Prepend}] [\p{GCB=Other}--\p{Extended_Pictographic}--\p{InCB=Consonant}]
    | [^\p{GCB=Prepend}\p{GCB=Extend}\u200D] \p{GCB=Other}
    | [^\p{GCB=Prepend}\p{InCB=Extend}\p{InCB=Linker}] \p{InCB=Extend}{0,8} \p{InCB=Consonant}
    | [^\p{GCB=Prepend}] \p{GCB=Prepend}
    | [^\p{GCB=Prepend}\p{GCB=L}] [\p{GCB=L}\p{GCB=LV}\p{GCB=LVT}]
    | [^\p{GCB=Prepend}\p{GCB=Regional_Indicator}] \p{GCB=Regional_Indicator}
    | . [\p{GCB=Control}\r]
    | [^\r] \n
    """,
    regex.VERSION1 | regex.DOTALL,
)
MAX_CLUSTER_LENGTH = 4096
"""Code points after which a cluster ends in any case: no script needs as many as 100."""
# Without a certain boundary within so many characters, the text is scanned cluster by cluster.
_LOOKBACK = 40
_FLAGS = regex.compile(r"(?:[\U0001F1E6-\U0001F1FF]{2})++")
# Fast path: below the first combining mark only CR LF joins, and Han and kana join to nothing before them but a few
# Arabic and Indic signs.
_CERTAIN_PAIR = re.compile(
    r"[\x00-\u02ff\u3000-\uffff] [\x00-\x09\x0b-\u02ff\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff]", re.VERBOSE
)


def next_boundary(text: str, known: int, at: int) -> int:
    """Return the first boundary that is not before ``at``; ``known`` is any boundary before ``at``."""
    return at if _CERTAIN_PAIR.match(text, at - 1) else enclosing_boundaries(text, known, at)[1]


def enclosing_boundaries(text: str, known: int, at: int) -> tuple[int, int]:
    """Return the last boundary not after ``at`` and the first not before it; both are ``at`` if it is a boundary."""
    if at >= len(text):
        return len(text), len(text)
    if _CERTAIN_PAIR.match(text, at - 1):
        return at, at
    certain = _LAST_CERTAIN.search(text, max(known, at - _LOOKBACK), at + 1)
    before = after = certain.end() - 1 if certain else known
    if before < at:
        # Thousands of flags are skipped at once, except the last.
        flags = _FLAGS.match(text, before, at)
        if flags:
            before = after = flags.end() - 2
        while after < at:
            before = after
            after = _cluster_end(text, before)
    return (at, at) if after == at else (before, after)


def _cluster_end(text: str, start: int) -> int:
    cluster = _CLUSTER.match(text, start, start + MAX_CLUSTER_LENGTH)
    return cluster.end() if cluster else start + 1
