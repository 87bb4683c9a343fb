"""Sanitised text for a terminal."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.sanitizer import sanitize, sanitize_json, sanitize_line

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY_TEXT = st.text(st.characters() | st.characters(max_codepoint=0xA0) | st.characters(categories=["Cs", "Cf"]))


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
def test_dangerous_characters_become_visible(text: str, shown: str) -> None:
    """None is dropped, so that the user sees what was sent."""
    assert sanitize(text) == shown


@pytest.mark.parametrize(
    "text", ["tab\there\nand there", "你好，世界", "👩‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שלום\u200fעולם", "e\u0301", "क्ष"]
)
def test_harmless_text_is_unchanged(text: str) -> None:
    """Newlines, tabs, emoji and every script pass."""
    assert sanitize(text) == text


@given(ANY_TEXT)
def test_sanitised_text_has_no_dangerous_characters(text: str) -> None:
    """For any input; sanitising again changes nothing."""
    once = sanitize(text)
    assert not FORBIDDEN.search(once)
    assert sanitize(once) == once


@given(ANY_TEXT)
def test_a_sanitised_line_is_one_line(text: str) -> None:
    """No kind of line break is left."""
    assert len(sanitize_line(text).splitlines()) <= 1
    assert not FORBIDDEN.search(sanitize_line(text))


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_sanitised_json_has_the_same_value(value: dict[str, str]) -> None:
    """The escapes are read back as the characters, and the line stays one line."""
    shown = sanitize_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not FORBIDDEN.search(shown)
    assert len(shown.splitlines()) == 1
