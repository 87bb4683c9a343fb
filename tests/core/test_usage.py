"""Token counts and prices."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from persona_stream.core.content import Tool
from persona_stream.core.facts import AnswerDelta, Answered, ReasoningDelta, Started
from persona_stream.core.query import Query, Turn, Usage
from persona_stream.core.usage import (
    BUNDLED,
    bundled_prices,
    count_tokens,
    custom_prices,
    load_prices,
    query_tokens,
    run_usage,
)
from persona_stream.errors import SettingsError
from persona_stream.personas.persona import Persona
from tests.fakes import accepted, entries


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("four", 1), ("fours", 2), ("你好", 2), ("你好, hi", 3), ("x" * 4000, 1000), ("\ud83d", 1)],
)
def test_tokens_are_estimated_from_the_size(text: str, count: int):
    """A quarter token for an ASCII letter, one for a Chinese character; a lone surrogate is counted too."""
    assert count_tokens([text]) == count


def test_a_query_counts_prompt_history_and_message():
    """40 characters each."""
    persona = Persona(username="ada", name="Ada", tagline={}, prompt="p" * 40)
    query = Query(username="ada", message="m" * 40, persona=persona, history=(Turn("user", "h" * 40),))
    assert query_tokens(query) == 30


def test_a_query_counts_its_tools():
    """Tool schemas are often longer than the message."""
    tool = Tool("weather", "Tell it.", {"type": "object", "properties": {"city": {"type": "string"}}})
    assert query_tokens(Query(username="ada", message="", tools=(tool,))) > 25


def test_the_usage_reported_by_the_backend_takes_precedence():
    """No estimate replaces it."""
    usage = Usage(input_tokens=3, output_tokens=5)
    assert run_usage(entries((0.0, accepted()), (1.0, Answered("x" * 400, usage)))) == usage


def test_an_estimate_counts_all_output_text():
    """Reasoning, deltas and the final text."""
    run = entries(
        (0.0, accepted()),
        (0.0, Started()),
        (1.0, ReasoningDelta("r" * 40)),
        (1.0, AnswerDelta("d" * 40)),
        (1.0, Answered("a" * 4)),
    )
    assert run_usage(run) == Usage(input_tokens=0, output_tokens=21, estimated=True, reasoning_tokens=10)


AT = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
USAGE = Usage(input_tokens=2_000_000, output_tokens=500_000)
# The prices at the release of these models; price lists keep historical prices.
MINI = 2 * 0.15 + 0.5 * 0.60
HAIKU = 2 * 0.25 + 0.5 * 1.25


def write_price_list(folder: Path, text: str) -> Path:
    file = folder / "prices.toml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("small", 2 * 1.0 + 0.5 * 4.0),
        ("large-2026", 2 * 10.0 + 0.5 * 40.0),
        ("large", None),
        ("Small", None),
        ("", None),
    ],
)
def test_custom_prices_are_per_million_tokens(model: str, dollars: float | None) -> None:
    """The price depends on the model name or pattern, case-sensitively, and not on the provider."""
    price = custom_prices({"small": (1.0, 4.0), "large-*": (10.0, 40.0)})
    assert price(None, model, USAGE, AT) == dollars
    assert price("openai", model, USAGE, AT) == dollars


def test_an_exact_name_wins_then_the_first_pattern() -> None:
    """A general price can be combined with prices of single models."""
    price = custom_prices({"*": (9.0, 9.0), "gpt-*": (5.0, 5.0), "gpt-mini": (1.0, 1.0)})
    million = Usage(input_tokens=1_000_000, output_tokens=0)
    assert [price(None, model, million, AT) for model in ("gpt-mini", "gpt-max", "else")] == [1.0, 9.0, 9.0]


def test_no_tokens_cost_zero() -> None:
    """A price of zero differs from an unknown price."""
    nothing = Usage(input_tokens=0, output_tokens=0)
    assert custom_prices({"small": (1.0, 4.0)})(None, "small", nothing, AT) == 0.0
    assert bundled_prices()("openai", "gpt-4o-mini", nothing, AT) == 0.0


def test_a_price_list_has_a_table_for_each_model(tmp_path: Path) -> None:
    """Integers and floats are valid, zero is valid, and other keys are ignored."""
    text = '["m-*"]\ninput = 1\noutput = 2.5\nnote = "since May"\n\n[free]\ninput = 0\noutput = 0.0\n'
    price = load_prices(str(write_price_list(tmp_path, text)))
    assert [price(None, model, USAGE, AT) for model in ("m-1", "free", "n")] == [2 * 1 + 0.5 * 2.5, 0.0, None]


def test_an_empty_price_list_has_no_prices(tmp_path: Path) -> None:
    """The bundled prices do not fill the gaps."""
    assert load_prices(str(write_price_list(tmp_path, "")))("openai", "gpt-4o-mini", USAGE, AT) is None


@pytest.mark.parametrize(
    "table",
    [
        "input = 1",
        "output = 1",
        "",
        'input = "1"\noutput = 1',
        "input = -1\noutput = 1",
        "input = 1\noutput = -0.5",
        "input = nan\noutput = 1",
        "input = 1\noutput = inf",
        "input = true\noutput = 1",
        f"input = 1{'0' * 400}\noutput = 1",
        "input = 1\noutput = 1e7",
        "input = [1]\noutput = 1",
    ],
)
def test_an_invalid_price_is_rejected_with_its_model(tmp_path: Path, table: str) -> None:
    """When the list is loaded, not when the first run has ended."""
    with pytest.raises(SettingsError, match=r'the table \["dear"\] needs input and output, in US dollars'):
        load_prices(str(write_price_list(tmp_path, f'["cheap"]\ninput = 1\noutput = 1\n\n["dear"]\n{table}\n')))


def test_a_price_outside_a_table_is_rejected(tmp_path: Path) -> None:
    """As a plain number beside the name."""
    with pytest.raises(SettingsError, match=r'the table \["small"\] needs input and output'):
        load_prices(str(write_price_list(tmp_path, "small = 1.5\n")))


@pytest.mark.parametrize("content", [b"input = ", b"[m]\n[m]\n", b"\xff\xfe", b"{}"])
def test_a_file_that_is_not_toml_is_rejected(tmp_path: Path, content: bytes) -> None:
    """The error names the file."""
    file = tmp_path / "prices.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^prices: cannot read .*prices\.toml: "):
        load_prices(str(file))


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    """So is a directory."""
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(SettingsError, match=r"^prices: cannot read .*: "):
            load_prices(str(path))


def test_the_bundled_list_has_the_prices_of_providers() -> None:
    """Models are looked up by provider and name."""
    price = load_prices(BUNDLED)
    assert price("openai", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price("anthropic", "claude-3-haiku-20240307", USAGE, AT) == pytest.approx(HAIKU)


def test_a_gateway_has_the_prices_of_the_original_provider() -> None:
    """Its API protocol is that of one provider, while the model may be of another."""
    price = bundled_prices()
    assert price("openai", "claude-3-haiku-20240307", USAGE, AT) == pytest.approx(HAIKU)
    assert price("anthropic", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price("unknown-provider", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price(None, "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "unknown-provider", None])
@pytest.mark.parametrize("model", ["never-heard-of", "", "VitalikButerin", "模型", "x" * 5000, "\x00", "\ud800"])
def test_an_unknown_model_has_no_price(provider: str | None, model: str) -> None:
    """The price is ``None``, also when it is looked up again."""
    price = bundled_prices()
    assert [price(provider, model, USAGE, AT) for _ in range(2)] == [None, None]
