"""How many tokens a run took, as far as anybody knows.

Where the backend does not say, it is estimated from the size of the texts: a token for every four bytes of ASCII, and
one for every three bytes of anything else in UTF-8, which is one Chinese character. Tokenizers of today come within a
third of that for prose in either language; code and rare scripts are farther off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from persona_stream.facts import Answered, Entry, terms, text_of
from persona_stream.query import Query, Usage

_ASCII_BYTES, _OTHER_BYTES = 4, 3  # of a token


def tokens(texts: Iterable[str]) -> int:
    """Estimate the tokens of texts that are sent together."""
    ascii_bytes = other_bytes = 0
    for text in texts:
        plain = len(text.encode("ascii", "ignore"))
        ascii_bytes += plain
        other_bytes += len(text.encode("utf-8", "replace")) - plain
    return math.ceil(ascii_bytes / _ASCII_BYTES + other_bytes / _OTHER_BYTES)


def tokens_of(query: Query) -> int:
    """Estimate the tokens that a query sends to a model: prompt, history and message."""
    return tokens((query.system_prompt(), *(turn.content for turn in query.history), query.message))


def usage_of(entries: Sequence[Entry]) -> Usage:
    """Give what an answered run took: the backend's own count, else an estimate. Reasoning counts as output."""
    ending = entries[-1].fact
    if isinstance(ending, Answered) and ending.usage is not None:
        return ending.usage
    return Usage(
        input_tokens=terms(entries).question_tokens,
        output_tokens=tokens(text_of(entry.fact) for entry in entries),
        estimated=True,
    )
