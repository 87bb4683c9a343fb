"""Words: what a text is found by."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo import stopwords
from persona_stream.backends.demo.words import MOST_READ, characters, stem, terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Why did Ethereum move to proof of stake?", ["ethereum", "mov", "proof", "stak"]),
        ("What do you think about this, please?", []),
        ("EIP-1559, d/acc", ["eip", "1559", "d", "acc"]),
        ("Ada's café and the Skłodowska’s", ["ada", "caf", "sklodowska"]),
        ("ＡＢＣ", ["abc"]),
        ("权益证明", ["权益", "益证", "证明"]),
        ("以太坊Ethereum的扩容", ["以太", "太坊", "ethereum", "扩容"]),
        ("镭", ["镭"]),
        ("镭是什么", []),
        ("请介绍一下权益证明", ["权益", "益证", "证明"]),
        ("再详细一点", []),
        ("你好，你是谁？", []),
        ("阿Q正传", ["阿", "q", "正传"]),
        ("プログラム", ["プロ", "ログ", "グラ", "ラム"]),
        ("привет мир", ["привет", "мир"]),
        ("🏳️‍🌈 …!", []),
        ("", []),
    ],
)
def test_a_text_has_the_words_of_its_subject(text: str, found: list[str]) -> None:
    """Latin words come without endings, Chinese in pairs, and words without a subject not at all."""
    assert terms(text) == found


@pytest.mark.parametrize(
    "forms",
    [
        ("rollup", "rollups"),
        ("scale", "scales", "scaled", "scaling"),
        ("stake", "staking", "staked"),
        ("run", "running"),
        ("call", "calls", "called", "calling"),
        ("study", "studies", "studied"),
        ("class", "classes"),
        ("prize", "prizes"),
        ("proof", "proofs"),
        ("vote", "votes", "voting", "voted"),
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    """Whatever the stem is, it is the same for all of them."""
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize("word", ["thing", "string", "king", "need", "virus", "basis", "gas", "ing", "4337"])
def test_what_only_looks_like_an_ending_stays(word: str) -> None:
    """A stem keeps enough of the word to be told from others."""
    assert stem(word) == word


def test_single_characters_come_without_those_of_grammar() -> None:
    """A subject may be one character, and 的 is none."""
    assert characters("镭是什么？radium 的药") == ["镭", "药"]


@settings(deadline=None)
@given(st.text())
def test_any_text_has_terms_and_none_of_them_is_a_stop_word(text: str) -> None:
    """No text is too strange, and what comes out is worth looking for."""
    for term in terms(text):
        assert term
        assert stopwords.CHINESE_CHARACTERS.isdisjoint(term)


@settings(deadline=None)
@given(st.text(alphabet="abcdefgh 't", max_size=40))
def test_upper_and_lower_case_are_the_same(text: str) -> None:
    """Nobody has to write a name as the profile does."""
    assert terms(text.upper()) == terms(text)


def test_of_a_very_long_text_only_the_beginning_is_read() -> None:
    """A message of the greatest length does not hold up everybody else."""
    assert len(terms("ab " * MOST_READ)) == MOST_READ // 3 + 1
