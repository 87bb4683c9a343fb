"""Tokens that nobody counted are estimated; those that somebody counted are not.

What tokens cost, by the operator's own list and by the one of a package.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from persona_stream.core.content import Tool
from persona_stream.core.facts import Answered, ReasoningDelta, Started, TextDelta
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
def test_tokens_follow_the_size(text: str, count: int):
    """A quarter of a token for a letter of English, a whole one for a Chinese character; half a pair breaks nothing."""
    assert count_tokens([text]) == count


def test_a_question_is_all_that_is_sent():
    """The prompt and the history count too."""
    persona = Persona(username="ada", name="Ada", tagline={}, prompt="p" * 40)
    query = Query(username="ada", message="m" * 40, persona=persona, history=(Turn("user", "h" * 40),))
    assert query_tokens(query) == 30


def test_tools_are_sent_too():
    """Their schemas are often longer than what is asked."""
    tool = Tool("weather", "Tell it.", {"type": "object", "properties": {"city": {"type": "string"}}})
    assert query_tokens(Query(username="ada", message="", tools=(tool,))) > 25


def test_the_backends_own_count_wins():
    """Whatever we would have estimated."""
    usage = Usage(input_tokens=3, output_tokens=5)
    assert run_usage(entries((0.0, accepted()), (1.0, Answered("x" * 400, usage)))) == usage


def test_an_estimate_counts_every_text():
    """Reasoning and what was streamed before the end."""
    run = entries(
        (0.0, accepted()),
        (0.0, Started()),
        (1.0, ReasoningDelta("r" * 40)),
        (1.0, TextDelta("d" * 40)),
        (1.0, Answered("a" * 4)),
    )
    assert run_usage(run) == Usage(input_tokens=0, output_tokens=21, estimated=True)


AT = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
USAGE = Usage(input_tokens=2_000_000, output_tokens=500_000)
# They were set when these models came, and lists of prices keep what once held.
MINI = 2 * 0.15 + 0.5 * 0.60
HAIKU = 2 * 0.25 + 0.5 * 1.25


def listed(folder: Path, text: str) -> Path:
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
def test_own_prices_are_for_a_million_tokens(model: str, dollars: float | None) -> None:
    """A model has the price of its name or its pattern, whoever sells it; letters count as they are written."""
    price = custom_prices({"small": (1.0, 4.0), "large-*": (10.0, 40.0)})
    assert price(None, model, USAGE, AT) == dollars
    assert price("openai", model, USAGE, AT) == dollars


def test_a_name_comes_before_patterns_and_patterns_in_their_order() -> None:
    """So a general price can stand beside those of a few models, and before it goes what is said first."""
    price = custom_prices({"*": (9.0, 9.0), "gpt-*": (5.0, 5.0), "gpt-mini": (1.0, 1.0)})
    million = Usage(input_tokens=1_000_000, output_tokens=0)
    assert [price(None, model, million, AT) for model in ("gpt-mini", "gpt-max", "else")] == [1.0, 9.0, 9.0]


def test_no_tokens_cost_nothing() -> None:
    """Which is another thing than nobody knowing."""
    nothing = Usage(input_tokens=0, output_tokens=0)
    assert custom_prices({"small": (1.0, 4.0)})(None, "small", nothing, AT) == 0.0
    assert bundled_prices()("openai", "gpt-4o-mini", nothing, AT) == 0.0


def test_a_file_of_prices_is_a_table_for_each_model(tmp_path: Path) -> None:
    """Whole dollars and parts of them; what is free costs nothing; other keys are nobody's."""
    text = '["m-*"]\ninput = 1\noutput = 2.5\nnote = "since May"\n\n[free]\ninput = 0\noutput = 0.0\n'
    price = load_prices(str(listed(tmp_path, text)))
    assert [price(None, model, USAGE, AT) for model in ("m-1", "free", "n")] == [2 * 1 + 0.5 * 2.5, 0.0, None]


def test_an_empty_file_knows_no_prices(tmp_path: Path) -> None:
    """As the operator wants it: nothing is filled in from the package's list."""
    assert load_prices(str(listed(tmp_path, "")))("openai", "gpt-4o-mini", USAGE, AT) is None


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
def test_a_table_that_is_no_price_is_refused_by_its_name(tmp_path: Path, table: str) -> None:
    """At the start, and not when the first run has ended."""
    with pytest.raises(SettingsError, match=r'the table \["dear"\] needs input and output: dollars'):
        load_prices(str(listed(tmp_path, f'["cheap"]\ninput = 1\noutput = 1\n\n["dear"]\n{table}\n')))


def test_what_is_no_table_is_refused_too(tmp_path: Path) -> None:
    """Some write the price beside the name."""
    with pytest.raises(SettingsError, match=r'the table \["small"\] needs input and output'):
        load_prices(str(listed(tmp_path, "small = 1.5\n")))


@pytest.mark.parametrize("content", [b"input = ", b"[m]\n[m]\n", b"\xff\xfe", b"{}"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its name, so that it can be found."""
    file = tmp_path / "prices.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^prices: .*prices\.toml cannot be read: "):
        load_prices(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """So is a folder."""
    for place in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(SettingsError, match=r"^prices: .* cannot be read: "):
            load_prices(str(place))


def test_the_bundled_list_knows_what_providers_ask() -> None:
    """Each model by its provider."""
    price = load_prices(BUNDLED)
    assert price("openai", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price("anthropic", "claude-3-haiku-20240307", USAGE, AT) == pytest.approx(HAIKU)


def test_a_gateway_sells_models_of_others() -> None:
    """It speaks the dialect of one provider, and the price is that of whoever made the model."""
    price = bundled_prices()
    assert price("openai", "claude-3-haiku-20240307", USAGE, AT) == pytest.approx(HAIKU)
    assert price("anthropic", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price("nobody-of-this-name", "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)
    assert price(None, "gpt-4o-mini", USAGE, AT) == pytest.approx(MINI)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "nobody-of-this-name", None])
@pytest.mark.parametrize("model", ["never-heard-of", "", "VitalikButerin", "模型", "x" * 5000, "\x00", "\ud800"])
def test_nobody_knows_the_price_of_an_unknown_model(provider: str | None, model: str) -> None:
    """It is not guessed, and it breaks nothing, however often it is asked for."""
    price = bundled_prices()
    assert [price(provider, model, USAGE, AT) for _ in range(2)] == [None, None]
