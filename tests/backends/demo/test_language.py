"""Language: the message's own, unless another is wished for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo.language import language, wished
from tests.backends.demo.people import MEI


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("What is proof of stake?", "en"),
        ("什么是权益证明？", "zh"),
        ("什么是 proof of stake", "zh"),
        ("以太坊Ethereum和PoS有什么区别", "zh"),
        ("ZK rollup和optimistic rollup区别", "zh"),
        ("Tell me about 以太坊", "en"),
        ("Who wrote 阿Q正传 and when?", "en"),
        ("Erkläre mir Rollups", "en"),
        ("プログラム", "en"),
        ("1 + 1 = ?", "en"),
        ("🏳️‍🌈", "en"),
        ("Explain rollups, and answer in Chinese please.", "zh"),
        ("Please reply to my question about tea in simplified Chinese", "zh"),
        ("权益证明是什么？请用英文回答。", "en"),
        ("用英语简单介绍一下自己", "en"),
        ("用English回答：什么是茶", "en"),
        ("How is your name written in Chinese?", "en"),
        ("Tell me about tea in Chinese history.", "en"),
        ("你的英文小说有哪些", "zh"),
        ("Explain tea, but do not answer in Chinese.", "en"),
    ],
)
def test_the_message_decides(message: str, expected: str) -> None:
    """By its characters, unless it asks for an answer in another language; naming one is not asking."""
    assert language(message, None, MEI) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("请用中文回答", "zh"),
        ("answer in English", "en"),
        ("用英文", "en"),
        ("in Chinese", "zh"),
        ("以英语作答", "en"),
        ("说中文", "zh"),
        ("中文回复", "zh"),
        ("英文回答即可", "en"),
        ("请使用简体中文。", "zh"),
        ("请用 English 回答", "en"),
        ("Use simplified Chinese.", "zh"),
        ("Always speak English, even when you are asked in Chinese.", "zh"),
        ("You are a pirate. Reply in plain English!", "en"),
        ("English only", "en"),
        ("Chinese, please", "zh"),
        ("Don't answer in Chinese", None),
        ("不要用英文回答", None),
        ("不要用英文，用中文", "zh"),
        ("Not in English but in Chinese", "zh"),
        ("You are an expert in Chinese history.", None),
        ("Use English sources and quote them.", None),
        ("Be brief.", None),
        ("简短一点", None),
        ("", None),
    ],
)
def test_a_prompt_may_wish_for_a_language(prompt: str, expected: str | None) -> None:
    """In either language, the last wish counts, a "not" is understood, and an adjective is no wish."""
    assert wished(prompt) == expected


@pytest.mark.parametrize(("message", "own"), [("What is tea?", "en"), ("茶是什么？", "zh")])
def test_the_prompt_comes_before_the_message(message: str, own: str) -> None:
    """Whatever language the message is in; and a prompt about something else changes nothing."""
    assert language(message, "请用中文回答", MEI) == "zh"
    assert language(message, "Answer in English.", MEI) == "en"
    assert language(message, "Be kind.", MEI) == own
    assert language(f"{message} Please answer in English.", "请用中文回答", MEI) == "zh"


def test_a_persona_speaks_only_what_it_speaks() -> None:
    """One that has no Chinese answers in English; one that has neither is framed in what was asked."""
    assert language("茶是什么？", "请用中文回答", replace(MEI, languages=("en",))) == "en"
    assert language("What is tea?", None, replace(MEI, languages=("zh",))) == "zh"
    assert language("茶是什么？", None, replace(MEI, languages=("fr",))) == "zh"


@settings(deadline=None)
@given(st.text(), st.text())
def test_every_text_has_a_language(message: str, prompt: str) -> None:
    """Nothing that can be written is left without one."""
    assert language(message, prompt, MEI) in ("zh", "en")
