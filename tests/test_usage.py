"""Tokens that nobody counted are estimated; those that somebody counted are not."""

from __future__ import annotations

import pytest

from persona_stream.core.content import Tool
from persona_stream.core.facts import Answered, Delta, Reasoned, Started
from persona_stream.core.query import Query, Turn, Usage
from persona_stream.core.usage import tokens, tokens_of, usage_of
from persona_stream.personas.persona import Persona
from tests.fakes import accepted, entries


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("four", 1), ("fours", 2), ("你好", 2), ("你好, hi", 3), ("x" * 4000, 1000), ("\ud83d", 1)],
)
def test_tokens_follow_the_size(text: str, count: int):
    """A quarter of a token for a letter of English, a whole one for a Chinese character; half a pair breaks nothing."""
    assert tokens([text]) == count


def test_a_question_is_all_that_is_sent():
    """The prompt and the history count too."""
    persona = Persona(username="ada", name="Ada", line={}, prompt="p" * 40)
    query = Query(username="ada", message="m" * 40, persona=persona, history=(Turn("user", "h" * 40),))
    assert tokens_of(query) == 30


def test_tools_are_sent_too():
    """Their schemas are often longer than what is asked."""
    tool = Tool("weather", "Tell it.", {"type": "object", "properties": {"city": {"type": "string"}}})
    assert tokens_of(Query(username="ada", message="", tools=(tool,))) > 25


def test_the_backends_own_count_wins():
    """Whatever we would have estimated."""
    usage = Usage(input_tokens=3, output_tokens=5)
    assert usage_of(entries((0.0, accepted()), (1.0, Answered("x" * 400, usage)))) == usage


def test_an_estimate_counts_every_text():
    """Reasoning and what was streamed before the end."""
    run = entries(
        (0.0, accepted()), (0.0, Started()), (1.0, Reasoned("r" * 40)), (1.0, Delta("d" * 40)), (1.0, Answered("a" * 4))
    )
    assert usage_of(run) == Usage(input_tokens=0, output_tokens=21, estimated=True)
