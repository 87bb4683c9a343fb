"""Quality of the sentence boundaries: pySBD's golden rules, and sentences collected for this project."""

from __future__ import annotations

import pytest

from persona_stream.chunking.chunkers import sentences
from tests.chunking.cases import COLLECTED, collected, golden_rules, spans

GOLDEN_RULES = golden_rules()

# Golden rules that are not followed. Arabic: boundaries at commas. Greek: a sentence that starts in lower case. Kazakh:
# no blank between two sentences, and none at a year. Slovak: a quotation of two sentences, and a Roman ordinal.
EXCEPTIONS = {"ar": 1, "el": 1, "kk": 2, "sk": 2}


def _followed(language: str) -> list[bool]:
    return [
        [chunk.strip() for chunk in sentences(text)] == expected for text, expected in GOLDEN_RULES[language]
    ]  # fmt: skip


@pytest.mark.parametrize("language", GOLDEN_RULES)
def test_the_golden_rules_of_a_language_are_followed(language: str) -> None:
    """By an exact match of all sentences of each text, apart from the counted exceptions."""
    assert _followed(language).count(False) == EXCEPTIONS.get(language, 0)


def test_there_are_forty_eight_golden_rules_of_english() -> None:
    """So an empty file cannot pass."""
    assert len(GOLDEN_RULES["en"]) == 48
    assert len(GOLDEN_RULES) == 23


@pytest.mark.parametrize("name", COLLECTED)
def test_collected_sentences_are_chunks(name: str) -> None:
    """At least 97 % of the sentences of each file start and end where a human reader separated them."""
    found = total = 0
    for case in collected(name):
        expected = spans(case)
        found += len(expected & spans(sentences("".join(case))))
        total += len(expected)
    assert total > 100
    assert found / total >= 0.97


def test_three_hundred_sentences_are_collected() -> None:
    """And no text has an empty sentence."""
    cases = [case for name in COLLECTED for case in collected(name)]
    assert sum(map(len, cases)) >= 300
    assert all(all(case) for case in cases)
