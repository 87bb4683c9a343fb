"""Wording: notes, titles and quotations in the sentences of a language."""

from __future__ import annotations

import string
from dataclasses import astuple, replace

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo.phrases import EN, ZH
from persona_stream.backends.demo.wording import Wording, name_in
from persona_stream.personas.persona import KnowledgeItem
from tests.backends.demo.people import MEI, RIVER, TEA

ENGLISH = Wording(MEI, "en")
CHINESE = Wording(MEI, "zh")


@pytest.mark.parametrize(
    ("name", "en", "zh"),
    [
        ("鲁迅 Lu Xun", "Lu Xun", "鲁迅"),
        ("Marie Curie 玛丽·居里", "Marie Curie", "玛丽·居里"),
        ("Vitalik Buterin", "Vitalik Buterin", "Vitalik Buterin"),
        ("鲁迅", "鲁迅", "鲁迅"),
    ],
)
def test_a_name_in_both_scripts_is_used_in_each_language(name: str, en: str, zh: str) -> None:
    """One in a single script is used as it is."""
    assert (name_in("en", name), name_in("zh", name)) == (en, zh)


def test_a_chinese_name_stands_without_spaces_and_a_latin_one_between_them() -> None:
    """As Chinese is set."""
    assert CHINESE.fill("我是 {name} 的角色") == "我是林梅的角色"
    assert Wording(replace(MEI, name="Mei"), "zh").fill("我是 {name} 的角色") == "我是 Mei 的角色"
    assert ENGLISH.fill("I am {name} here") == "I am Mei Lin here"


def test_titles_are_the_first_topics_of_the_language() -> None:
    """And the first of all where the language has none."""
    assert (ENGLISH.title(TEA), CHINESE.title(TEA)) == ("green tea", "绿茶")
    assert CHINESE.title(KnowledgeItem(("tea",), {"en": "Tea."}, "https://example.org")) == "tea"
    assert ENGLISH.labels([TEA]) == "green tea"
    assert ENGLISH.labels([TEA, RIVER]) == "green tea and the river"
    assert CHINESE.labels([TEA, RIVER]) == "“绿茶”、“河流”"


def test_a_text_that_lacks_the_language_is_told_in_one_it_has() -> None:
    """Better than nothing, and the persona's first language comes first."""
    french = KnowledgeItem(("thé",), {"fr": "Du thé."}, "https://example.org")
    persona = replace(MEI, tagline={"fr": "Une batelière"}, languages=("fr",), notes=(french,))
    assert Wording(persona, "zh").text(french) == "Du thé."
    assert Wording(persona, "en").line() == "Une batelière."


@pytest.mark.parametrize(
    ("message", "quoted", "sentence"),
    [
        ("  why\n\n tea? ", "why tea?", "why tea?"),
        ("tell me about tea", "tell me about tea", "tell me about tea."),
        ("Tea.", "Tea", "Tea."),
        ("She said “no!”", "She said “no!”", "She said “no!”"),
        ("a\x00b\x1b[31m\u202ec\ud800", "a b [31m c", "a b [31m c."),
        ("e\u0301" * 300, "e\u0301" * 120 + "…", "e\u0301" * 120 + "…"),
        ("👩‍👩‍👧‍👦" * 300, "👩‍👩‍👧‍👦" * 120 + "…", "👩‍👩‍👧‍👦" * 120 + "…"),
    ],
)
def test_a_message_is_quoted_on_one_line_and_at_a_length(message: str, quoted: str, sentence: str) -> None:
    """Nothing of it reaches out of the quotation, and no character is cut in two."""
    assert ENGLISH.quoted(message) == quoted
    assert ENGLISH.asked(message) == sentence


def test_a_chinese_quotation_ends_without_a_stop() -> None:
    """The sentence goes on after it."""
    assert CHINESE.asked("镭是什么") == "镭是什么"
    assert CHINESE.asked("镭是什么？") == "镭是什么？"
    assert CHINESE.asked("说说镭。") == "说说镭"


@settings(deadline=None)
@given(st.text(max_size=3000))
def test_any_message_can_be_quoted(message: str) -> None:
    """At no more than its length, on one line, and as text that can be encoded."""
    quoted = ENGLISH.quoted(message)
    assert len(regex.findall(r"\X", quoted)) <= 121
    assert len(quoted.splitlines()) <= 1
    quoted.encode()


def test_both_languages_say_the_same_things_with_the_same_placeholders() -> None:
    """Every sentence has its counterpart, which tells as much."""

    def placeholders(phrase: object) -> set[str | None]:
        phrases = phrase if isinstance(phrase, tuple) else (phrase,)
        return {field for each in phrases for _, field, _, _ in string.Formatter().parse(str(each)) if field}

    for english, chinese in zip(astuple(EN), astuple(ZH), strict=True):
        assert placeholders(english) == placeholders(chinese)
