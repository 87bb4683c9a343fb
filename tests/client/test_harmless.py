"""Text from outside, made harmless."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.terminal import harmless, harmless_json, one_line

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANYTHING = st.text(st.characters() | st.characters(max_codepoint=0xA0) | st.characters(categories=["Cs", "Cf"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "<U+009B>2J"),
        ("a\rb", "a␍b"),
        ("a\r\nb", "a\nb"),
        ("abc\b\b\bxyz", "abc␈␈␈xyz"),
        ("\x7f\x00", "␡␀"),
        ("user\u202etxt.exe", "user<U+202E>txt.exe"),
        ("\u2066x\u2069", "<U+2066>x<U+2069>"),
        ("\x85", "<U+0085>"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_what_is_dangerous_becomes_visible(text: str, shown: str) -> None:
    """Nothing vanishes: who looks can see what was sent."""
    assert harmless(text) == shown


@pytest.mark.parametrize(
    "text", ["tab\there\nand there", "你好，世界", "👩‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שלום\u200fעולם", "e\u0301", "क्ष"]
)
def test_what_is_harmless_is_left_alone(text: str) -> None:
    """Newlines, tabs, emoji and every script pass."""
    assert harmless(text) == text


@given(ANYTHING)
def test_nothing_dangerous_comes_through(text: str) -> None:
    """Whatever goes in; and doing it twice changes nothing."""
    once = harmless(text)
    assert not FORBIDDEN.search(once)
    assert harmless(once) == once


@given(ANYTHING)
def test_one_line_is_one_line(text: str) -> None:
    """No break of any kind is left in a status."""
    assert len(one_line(text).splitlines()) <= 1
    assert not FORBIDDEN.search(one_line(text))


@given(st.dictionaries(ANYTHING, ANYTHING))
def test_harmless_json_means_the_same(value: dict[str, str]) -> None:
    """The escapes are read back as what was there, and a line stays a line."""
    shown = harmless_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not FORBIDDEN.search(shown)
    assert len(shown.splitlines()) == 1
