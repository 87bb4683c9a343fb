"""Texts in both languages."""

from __future__ import annotations

import string

import pytest

from persona_stream.client.texts import DOCTOR, ERRORS, HINTS, MESSAGES, REASONS, REFUSALS, detect_language
from tests.client.fakes import EN, ZH


def test_both_languages_have_the_same_texts() -> None:
    """With the same fields; no Chinese text is a copy of the English one."""
    for table in (MESSAGES, REASONS, ERRORS, REFUSALS, HINTS, DOCTOR):
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
    assert refusals | temporary == REFUSALS.keys()


def test_a_refusal_begins_in_the_language_of_the_user() -> None:
    """The server's text is English."""
    assert ZH.refusal("unauthorized", "The token has expired") == "令牌无效或已过期（The token has expired）"
    assert EN.refusal("unauthorized", "The token has expired") == "The token has expired"
    assert ZH.refusal("unknown", "A text") == "A text"


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


def _placeholders(text: str) -> set[str]:
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name is not None}
