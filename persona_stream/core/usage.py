"""Token usage and prices of runs.

A backend's own token count is used if it reports one. Otherwise tokens are counted with the tokenizer of OpenAI's newer
models (o200k), if it is installed (``persona_stream[tokens]``), or else estimated from the size of the texts: one token
for four bytes of ASCII, and one for three bytes of other UTF-8, which is one Chinese character. Current tokenizers are
within a third of that for prose in both languages; code and rare scripts deviate more.

Prices come from the package ``genai-prices`` or from the operator's price list: a TOML file with a table for each
model, in US dollars per million tokens:

    ["gpt-4o-mini"]
    input = 0.15
    output = 0.60
"""

import fnmatch
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

import msgspec
from msgspec import UNSET

from persona_stream.core.facts import Answered, Entry, ReasoningDelta, Started, run_terms, text_of
from persona_stream.core.query import Query, Usage
from persona_stream.errors import SettingsError

_ASCII_BYTES_PER_TOKEN = 4
_OTHER_BYTES_PER_TOKEN = 3
# A longer text is extrapolated from its beginning: to tokenize half a million characters would block the event loop.
_MAX_TOKENIZED_CHARACTERS = 10_000


def count_tokens(texts: Iterable[str]) -> int:
    """Return the number of tokens of texts that are sent together, counted or estimated."""
    count = _token_counter()
    return math.ceil(sum(count(text) for text in texts))


def estimate_tokens(text: str) -> float:
    """Return an estimate of the tokens of a text, from its size."""
    ascii_bytes = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "replace")) - ascii_bytes
    return ascii_bytes / _ASCII_BYTES_PER_TOKEN + other_bytes / _OTHER_BYTES_PER_TOKEN


@cache
def _token_counter() -> Callable[[str], float]:
    try:
        from rs_bpe.bpe import openai
    except ImportError:
        return estimate_tokens
    encoding = openai.o200k_base()

    def count(text: str) -> float:
        beginning = text[:_MAX_TOKENIZED_CHARACTERS]
        counted = int(encoding.count(beginning.encode("utf-8", "replace").decode()))
        return counted if text == beginning else counted * estimate_tokens(text) / estimate_tokens(beginning)

    return count


def query_tokens(query: Query) -> int:
    """Return the tokens of the prompt, history, tools and message of a query. Images are not counted."""
    turns = (*query.history, *query.tool_turns)
    calls = (call.arguments for turn in turns for call in turn.calls)
    tools = msgspec.json.encode(query.tools).decode() if query.tools else ""
    return count_tokens((query.system_prompt(), *(turn.content for turn in turns), *calls, tools, query.message))


def run_usage(entries: Sequence[Entry]) -> Usage:
    """Return the usage of a finished run: the backend's own, else an estimate. Reasoning counts as output."""
    ending = entries[-1].fact
    if isinstance(ending, Answered) and ending.usage is not None:
        return ending.usage
    history = sum(entry.fact.history_tokens for entry in entries if isinstance(entry.fact, Started))
    reasoning = count_tokens(entry.fact.text for entry in entries if isinstance(entry.fact, ReasoningDelta))
    return Usage(
        input_tokens=run_terms(entries).question_tokens + history,
        output_tokens=count_tokens(text_of(entry.fact) for entry in entries),
        estimated=True,
        reasoning_tokens=reasoning or UNSET,
    )


Price = Callable[[str | None, str, Usage, float], float | None]
"""Returns the price in US dollars for a provider, model, usage and time; ``None`` if it is unknown."""

BUNDLED = "bundled"
_MILLION = 1_000_000
_MAX_PRICE_PER_MILLION = 1e6  # US dollars; a higher or infinite price is a typing error


def load_prices(prices: str) -> Price:
    """Load the price list ``bundled``, or a file; raise ``SettingsError`` if it is not readable and valid."""
    return bundled_prices() if prices == BUNDLED else custom_prices(_load_file(Path(prices)))


def bundled_prices() -> Price:
    """Return the prices of the package ``genai-prices``; without the package, all prices are unknown."""
    try:
        import genai_prices
    except ImportError:
        return lambda provider, model, usage, at: None

    @lru_cache(256)
    def is_known(provider: str | None, model: str) -> bool:
        try:
            genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), model, provider_id=provider)
        except LookupError:
            return False
        return True

    def price(provider: str | None, model: str, usage: Usage, at: float) -> float | None:
        priced = genai_prices.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        moment = datetime.fromtimestamp(at, UTC)
        for seller in (provider, None):  # a gateway uses one provider's protocol and sells models of others
            if is_known(seller, model):
                result = genai_prices.calc_price(priced, model, provider_id=seller, genai_request_timestamp=moment)
                return float(result.total_price)
        return None

    return price


def custom_prices(prices: Mapping[str, tuple[float, float]]) -> Price:
    """Return prices from a table by model name or pattern (``gpt-4o*``) of US dollars per million tokens."""

    def price(provider: str | None, model: str, usage: Usage, at: float) -> float | None:
        found = prices.get(model) or next((prices[name] for name in prices if fnmatch.fnmatchcase(model, name)), None)
        if found is None:
            return None
        return (usage.input_tokens * found[0] + usage.output_tokens * found[1]) / _MILLION

    return price


def _load_file(file: Path) -> Mapping[str, tuple[float, float]]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"prices: cannot read {file}: {error}") from None
    prices = {}
    for model, table in tables.items():
        match table:
            case {"input": input_price, "output": output_price} if _is_price(input_price) and _is_price(output_price):
                prices[model] = (float(input_price), float(output_price))
            case _:
                raise SettingsError(
                    f'prices: in {file}, the table ["{model}"] needs input and output, in US dollars per million tokens'
                )
    return prices


def _is_price(value: object) -> bool:
    # bool is a subclass of int, and a TOML integer may exceed the range of float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_PRICE_PER_MILLION
