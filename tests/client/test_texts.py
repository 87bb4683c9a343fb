"""The words, in both languages."""

from __future__ import annotations

import string
from dataclasses import fields

import pytest

from persona_stream.client.texts import EN, ZH, Texts, language_of


def test_both_languages_say_the_same_things() -> None:
    """The same codes, the same places to fill in; and the Chinese is Chinese."""
    for field in fields(Texts):
        english, chinese = getattr(EN, field.name), getattr(ZH, field.name)
        if isinstance(english, str):
            english, chinese = {field.name: english}, {field.name: chinese}
        assert english.keys() == chinese.keys()
        assert {key: _places(text) for key, text in english.items()} == {
            key: _places(text) for key, text in chinese.items()
        }
        assert all(english[key] == "" or english[key] != chinese[key] for key in english)


def test_every_code_of_the_server_has_advice() -> None:
    """Every row of the tables of refusals and failures, and every code of our own."""
    refusals = {"invalid_request", "unauthorized", "forbidden", "not_found", "conflict", "gone", "too_large"}
    later = {"rate_limited", "busy", "draining", "unavailable"}
    failures = {"internal", "backend_error", "answer_too_large", "lost", "timeout", "cancelled"}
    ours = {"unreachable", "tls", "connection_lost", "silence", "garbled", "redirected", "not_ours", "run_gone"}
    for texts in (EN, ZH):
        assert (refusals | later | failures | ours | {"client_timeout"}) <= texts.hints.keys()


@pytest.mark.parametrize(
    ("code", "known_by"), [("http_502", "http_5"), ("http_418", "http"), ("http_404", "http_404"), ("weird", "http")]
)
def test_codes_that_are_not_known_have_advice_too(code: str, known_by: str) -> None:
    """At least by their status."""
    assert EN.hint_of(code) == EN.hints[known_by]


def test_an_error_without_a_detail_ends_well() -> None:
    """No colon is left hanging."""
    assert EN.error_of("unreachable") == "cannot reach the server"
    assert ZH.error_of("unreachable") == "无法连接服务器"
    assert EN.error_of("http_500") == "the server failed (http_500)"
    assert EN.error_of("unreachable", "{odd}") == "cannot reach the server: {odd}"


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
def test_the_language_is_that_of_the_environment(environ: dict[str, str], language: str) -> None:
    """In the order that POSIX gives its variables."""
    assert language_of(environ) == language


def _places(text: str) -> set[str]:
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name is not None}
