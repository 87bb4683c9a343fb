"""How many tokens a run took, as far as anybody knows.

Where the backend does not say, they are counted with the tokenizer of OpenAI's newer models (o200k), if that is
installed (``persona_stream[tokens]``). Else they are estimated from the size of the texts: a token for every four bytes
of ASCII, and one for every three bytes of anything else in UTF-8, which is one Chinese character. Tokenizers of today
come within a third of that for prose in either language; code and rare scripts are farther off.

What tokens cost, by a list that comes in a package, or by the operator's own.

The operator's own is a TOML file, whose tables are named like models and say dollars for a million tokens:

    ["gpt-4o-mini"]
    input = 0.15
    output = 0.60
"""

from __future__ import annotations

import fnmatch
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

import msgspec

from persona_stream.core.facts import Answered, Entry, Started, run_terms, text_of
from persona_stream.core.query import Query, Usage
from persona_stream.errors import SettingsError

_ASCII_BYTES, _OTHER_BYTES = 4, 3  # of a token
# A long text is counted by its beginning: all of half a million characters would keep everybody waiting.
_COUNTED = 10_000  # characters


def count_tokens(texts: Iterable[str]) -> int:
    """Count the tokens of texts that are sent together, or estimate them."""
    count = _token_counter()
    return math.ceil(sum(count(text) for text in texts))


def estimate_tokens(text: str) -> float:
    """Estimate the tokens of a text from its size."""
    plain = len(text.encode("ascii", "ignore"))
    return plain / _ASCII_BYTES + (len(text.encode("utf-8", "replace")) - plain) / _OTHER_BYTES


@cache
def _token_counter() -> Callable[[str], float]:
    try:
        from rs_bpe.bpe import openai
    except ImportError:
        return estimate_tokens
    encoding = openai.o200k_base()

    def count(text: str) -> float:
        beginning = text[:_COUNTED]
        counted = int(encoding.count(beginning.encode("utf-8", "replace").decode()))
        return counted if len(text) <= _COUNTED else counted * estimate_tokens(text) / estimate_tokens(beginning)

    return count


def query_tokens(query: Query) -> int:
    """Give the tokens that a query sends to a model: prompt, history, tools, message; of pictures nobody knows."""
    turns = (*query.history, *query.tool_turns)
    calls = (call.arguments for turn in turns for call in turn.calls)
    tools = msgspec.json.encode(query.tools).decode() if query.tools else ""
    return count_tokens((query.system_prompt(), *(turn.content for turn in turns), *calls, tools, query.message))


def run_usage(entries: Sequence[Entry]) -> Usage:
    """Give what an answered run took: the backend's own count, else an estimate. Reasoning counts as output."""
    ending = entries[-1].fact
    if isinstance(ending, Answered) and ending.usage is not None:
        return ending.usage
    before = sum(entry.fact.history_tokens for entry in entries if isinstance(entry.fact, Started))
    return Usage(
        input_tokens=run_terms(entries).question_tokens + before,
        output_tokens=count_tokens(text_of(entry.fact) for entry in entries),
        estimated=True,
    )


Price = Callable[[str | None, str, Usage, float], float | None]
"""Tell what tokens cost in US dollars, by provider, model, count and moment; ``None`` where nobody knows."""

BUNDLED = "bundled"
_MILLION = 1_000_000
_MAX_PRICE_PER_MILLION = 1e6  # dollars for a million tokens: what is more, or no number that ends, is a slip of the pen


def load_prices(prices: str) -> Price:
    """Give the list that a setting names: ``bundled``, or a file.

    Raises:
        SettingsError: the file cannot be read, or is no list of prices.
    """
    return bundled_prices() if prices == BUNDLED else custom_prices(_read(Path(prices)))


def bundled_prices() -> Price:
    """Give the prices of the package ``genai-prices``; without it, nobody knows any."""
    try:
        from genai_prices import Usage as Counted
        from genai_prices import calc_price
    except ImportError:
        return lambda provider, model, usage, at: None

    @lru_cache(256)
    def is_known(provider: str | None, model: str) -> bool:
        try:
            calc_price(Counted(input_tokens=1, output_tokens=1), model, provider_id=provider)
        except LookupError:
            return False
        return True

    def price(provider: str | None, model: str, usage: Usage, at: float) -> float | None:
        counted = Counted(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        moment = datetime.fromtimestamp(at, UTC)
        for seller in (provider, None):  # a gateway speaks the dialect of one, and sells the models of others
            if is_known(seller, model):
                priced = calc_price(counted, model, provider_id=seller, genai_request_timestamp=moment)
                return float(priced.total_price)
        return None

    return price


def custom_prices(prices: Mapping[str, tuple[float, float]]) -> Price:
    """Give prices by the model's name, which may be a pattern like ``gpt-4o*``: dollars for a million tokens."""

    def price(provider: str | None, model: str, usage: Usage, at: float) -> float | None:
        found = prices.get(model) or next((prices[name] for name in prices if fnmatch.fnmatchcase(model, name)), None)
        if found is None:
            return None
        return (usage.input_tokens * found[0] + usage.output_tokens * found[1]) / _MILLION

    return price


def _read(file: Path) -> Mapping[str, tuple[float, float]]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"prices: {file} cannot be read: {error}") from None
    prices = {}
    for model, table in tables.items():
        match table:
            case {"input": given, "output": taken} if _is_price(given) and _is_price(taken):
                prices[model] = (float(given), float(taken))
            case _:
                raise SettingsError(
                    f'prices: in {file}, the table ["{model}"] needs input and output: dollars for a million tokens'
                )
    return prices


def _is_price(value: object) -> bool:
    # A bool is an int to Python, and TOML has numbers that no float holds.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_PRICE_PER_MILLION
