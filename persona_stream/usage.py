"""How many tokens a run took, as far as anybody knows.

Where the backend does not say, they are counted with the tokenizer of OpenAI's newer models (o200k), if that is
installed (``persona_stream[tokens]``). Else they are estimated from the size of the texts: a token for every four bytes
of ASCII, and one for every three bytes of anything else in UTF-8, which is one Chinese character. Tokenizers of today
come within a third of that for prose in either language; code and rare scripts are farther off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import msgspec

from persona_stream.facts import Answered, Entry, Started, terms, text_of
from persona_stream.query import Query, Usage

_ASCII_BYTES, _OTHER_BYTES = 4, 3  # of a token
# A long text is counted by its beginning: all of half a million characters would keep everybody waiting.
_COUNTED = 10_000  # characters


def tokens(texts: Iterable[str]) -> int:
    """Count the tokens of texts that are sent together, or estimate them."""
    count = _counter()
    return math.ceil(sum(count(text) for text in texts))


def by_size(text: str) -> float:
    """Estimate the tokens of a text from its size."""
    plain = len(text.encode("ascii", "ignore"))
    return plain / _ASCII_BYTES + (len(text.encode("utf-8", "replace")) - plain) / _OTHER_BYTES


@cache
def _counter() -> Callable[[str], float]:
    try:
        from rs_bpe.bpe import openai
    except ImportError:
        return by_size
    encoding = openai.o200k_base()

    def count(text: str) -> float:
        beginning = text[:_COUNTED]
        counted = int(encoding.count(beginning.encode("utf-8", "replace").decode()))
        return counted if len(text) <= _COUNTED else counted * by_size(text) / by_size(beginning)

    return count


def tokens_of(query: Query) -> int:
    """Give the tokens that a query sends to a model: prompt, history, tools, message; of pictures nobody knows."""
    turns = (*query.history, *query.since)
    calls = (call.arguments for turn in turns for call in turn.calls)
    tools = msgspec.json.encode(query.tools).decode() if query.tools else ""
    return tokens((query.system_prompt(), *(turn.content for turn in turns), *calls, tools, query.message))


def usage_of(entries: Sequence[Entry]) -> Usage:
    """Give what an answered run took: the backend's own count, else an estimate. Reasoning counts as output."""
    ending = entries[-1].fact
    if isinstance(ending, Answered) and ending.usage is not None:
        return ending.usage
    before = sum(entry.fact.history_tokens for entry in entries if isinstance(entry.fact, Started))
    return Usage(
        input_tokens=terms(entries).question_tokens + before,
        output_tokens=tokens(text_of(entry.fact) for entry in entries),
        estimated=True,
    )
