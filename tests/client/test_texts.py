"""Texts in both languages, and sanitised texts of others."""

from __future__ import annotations

import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.texts import (
    ERRORS,
    HINTS,
    MESSAGES,
    REASONS,
    detect_language,
    sanitize,
    sanitize_json,
    sanitize_line,
)  # fmt: skip
from tests.client.fakes import EN, ZH

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY_TEXT = st.text(st.characters() | st.characters(max_codepoint=0xA0) | st.characters(categories=["Cs", "Cf"]))


def test_both_languages_have_the_same_texts() -> None:
    """With the same fields; no Chinese text is a copy of the English one."""
    for table in (MESSAGES, REASONS, ERRORS, HINTS):
        for texts in table.values():
            assert _placeholders(texts["en"]) == _placeholders(texts["zh"])
            assert texts["en"] == "" or texts["en"] != texts["zh"]


def test_every_error_code_has_a_hint() -> None:
    """Refusals and failures of the server, and the client's own codes."""
    refusals = {"invalid_request", "unauthorized", "forbidden", "not_found", "conflict", "gone", "too_large"}
    temporary = {"rate_limited", "busy", "draining", "unavailable"}
    failures = {"internal", "backend_error", "answer_too_large", "lost", "timeout", "cancelled"}
    own = {"unreachable", "tls", "connection_lost", "silence", "garbled", "redirected", "not_ours", "run_gone"}
    assert (refusals | temporary | failures | own | {"client_timeout"}) <= HINTS.keys()


@pytest.mark.parametrize(
    ("code", "key"), [("http_502", "http_5xx"), ("http_418", "http"), ("http_404", "http_404"), ("weird", "http")]
)
def test_an_unknown_code_has_a_general_hint(code: str, key: str) -> None:
    """By its HTTP status, if it has one."""
    assert EN.hint(code) == HINTS[key]["en"]


def test_an_error_without_detail_has_no_trailing_colon() -> None:
    """In either language; braces in the detail are text."""
    assert EN.error("unreachable") == "cannot reach the server"
    assert ZH.error("unreachable") == "无法连接服务器"
    assert EN.error("http_500") == "the server failed (http_500)"
    assert EN.error("unreachable", "{odd}") == "cannot reach the server: {odd}"


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_is_that_of_the_locale_variables(environ: dict[str, str], language: str) -> None:
    """In the order of POSIX."""
    assert detect_language(environ) == language


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


def _placeholders(text: str) -> set[str]:
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name is not None}
