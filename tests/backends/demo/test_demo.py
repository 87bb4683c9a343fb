"""The demo backend from the outside: whole answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo import demo
from persona_stream.core.query import Query, Turn
from persona_stream.errors import BackendError, ConfigurationError
from persona_stream.personas.persona import bundled_personas
from tests.backends.demo.people import BRIDGE, MEI, MUSIC, RADIUM, RIVER, TEA

PEOPLE = {"MeiLin": MEI}


def ask(message: str, **more: Any) -> str:
    return demo(PEOPLE, seconds=0)(Query(username="MeiLin", message=message, **more)).text


def test_an_answer_in_english() -> None:
    """Opening, notes with what joins them, who is speaking, and the sources."""
    assert ask("Is the old bridge of stone?").split("\n\n") == [
        "You ask: “Is the old bridge of stone?” The profile of Mei Lin has one note on that, about the old bridge.",
        "The bridge over the river is of stone.",
        "You did not ask about the river, but the note is close by: The river floods each spring.",
        "I am only the demo persona of Mei Lin. I speak from the notes of a profile, without a language model, and not "
        "in the name of Mei Lin; the sources below let you check every one of them.",
        "Sources:\n- the old bridge: https://example.org/the-old-bridge\n- the river: https://example.org/the-river",
    ]


def test_an_answer_in_chinese() -> None:
    """The same, from the Chinese side of the same notes."""
    assert ask("说说音乐和绿茶").split("\n\n") == [
        "您问“说说音乐和绿茶”，我在林梅的档案里找到 2 条笔记，先从“绿茶”说起。",
        "她清晨喝绿茶。还有“小提琴”：她小提琴拉得不好。",
        "我只是林梅的演示角色，照着档案里的笔记说话，没有用到语言模型，也不代表林梅本人；下面列出的出处可供逐条核对。",
        "来源：\n- 绿茶：https://example.org/green-tea\n- 小提琴：https://example.org/her-violin",
    ]


def test_a_question_beside_the_profile_gets_an_honest_answer() -> None:
    """It says that there is nothing, what there is, and has no sources."""
    assert ask("What about pizza?").split("\n\n") == [
        "You ask: “What about pizza?” I have gone through all 5 notes in the profile of Mei Lin, and none of them is "
        "about that, so I would rather not guess.",
        "Among the things I can talk about are green tea, the river, the old bridge, her violin and radium.",
        "I am only the demo persona of Mei Lin: I answer from the notes of a profile, without a language model.",
    ]


def test_a_greeting_is_greeted() -> None:
    """With who speaks, the first notes, and what can be asked."""
    opening, first, pair, offer, closing, sources = ask("你好").split("\n\n")
    assert opening == "您好！我是林梅的演示角色。一句话介绍：一位摆渡人。先说几件事，作为开头。"
    assert first == TEA.text["zh"]
    assert RIVER.text["zh"] in pair
    assert BRIDGE.text["zh"] in pair
    assert offer == "您可以问我：“绿茶”、“河流”、“老桥”、“小提琴”、“镭”。"
    assert "演示角色" in closing
    assert sources.startswith("来源：\n- 绿茶：https://")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_the_prompt_chooses_the_language_in_either_mode(mode: str) -> None:
    """The question may be in the other one, and finds the same notes."""
    assert TEA.text["zh"] in ask("Do you like green tea?", prompt="请用中文回答", prompt_mode=mode)
    assert TEA.text["en"] in ask("你喜欢绿茶吗？", prompt="Answer in English.", prompt_mode=mode)


def test_a_prompt_that_it_cannot_follow_is_owned_up_to() -> None:
    """A demo without a model says so, and only then."""
    unread = "(Of an additional prompt this demo follows only a wish for Chinese or English.)"
    assert unread in ask("green tea", prompt="Talk like a pirate.")
    assert unread not in ask("green tea", prompt="Talk like a pirate, in English.")
    assert unread not in ask("green tea")


def test_a_follow_up_goes_on_where_the_conversation_was() -> None:
    """It quotes what it goes on with, tells what is new, and owns up when nothing is left."""
    first = ask("old bridge or violin?")
    talk = (Turn("user", "old bridge or violin?"), Turn("assistant", first.replace(MUSIC.text["en"], "")))
    second = ask("and why?", history=talk)
    assert "your earlier “old bridge or violin?”" in second or "going on from “old bridge or violin?”" in second
    assert MUSIC.text["en"] in second
    assert BRIDGE.text["en"] not in second
    talk = (Turn("user", "old bridge"), Turn("assistant", BRIDGE.text["en"]))
    third = ask("and why?", history=talk)
    assert "I have told what the profile holds; what is left is close by." in third
    assert RIVER.text["en"] in third


def test_the_reasoning_is_the_ranking() -> None:
    """In the language of the answer; a greeting has none."""
    answer = demo(PEOPLE, seconds=0)(Query(username="MeiLin", message="radium"))
    assert answer.reasoning is not None
    assert answer.reasoning.splitlines()[0] == "Notes in the profile: 5. To do with the question: 1."
    assert answer.reasoning.splitlines()[1].startswith("1. radium (")
    assert demo(PEOPLE, seconds=0)(Query(username="MeiLin", message="hi")).reasoning is None


def test_a_persona_that_a_query_brings_is_the_one_that_answers() -> None:
    """Also one that the backend does not know, and one that bears a name it knows."""
    other = replace(MEI, notes=(RADIUM,))
    query = Query(username="MeiLin", message="radium or tea", persona=other)
    for people in ({}, PEOPLE):
        text = demo(people, seconds=0)(query).text
        assert RADIUM.text["en"] in text
        assert TEA.text["en"] not in text


def test_a_profile_without_notes_says_so() -> None:
    """It has a voice for a model, and nothing for the demo."""
    text = demo({}, seconds=0)(Query(username="MeiLin", message="tea?", persona=replace(MEI, notes=()))).text
    assert text.split("\n\n")[0] == (
        "The profile of Mei Lin holds no notes yet, so this demo has nothing to answer from."
    )


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("en", "There is no persona called “Nobody” here. There are: MeiLin"),
        ("zh", "这里没有名为“Nobody”的角色。可以选择：MeiLin"),
    ],
)
def test_nobody_answers_for_nobody(locale: Any, said: str) -> None:
    """The client reads whom it could have asked."""
    with pytest.raises(BackendError) as failed:
        demo(PEOPLE, seconds=0)(Query(username="Nobody", message="tea?", locale=locale))
    assert str(failed.value) == said


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_time_that_cannot_pass_stops_the_start(seconds: float) -> None:
    """The setting is named."""
    with pytest.raises(ConfigurationError, match="demo_seconds"):
        demo(PEOPLE, seconds=seconds)


MESSAGES = st.one_of(
    st.text(min_size=1),
    st.sampled_from(["tea", "绿茶和音乐", "the river", "你好", "and why?", "它呢", "{name} {0} %s", "桥 bridge stone"]),
)


@settings(deadline=None)
@given(
    message=MESSAGES,
    prompt=st.one_of(st.none(), st.text(), st.sampled_from(["用英文", "in Chinese"])),
    history=st.lists(st.builds(Turn, st.sampled_from(["user", "assistant", "system", "tool"]), MESSAGES), max_size=4),
    seconds=st.sampled_from([0.0, 8.0]),
)
def test_every_query_is_answered_the_same_twice_in_its_time(
    message: str, prompt: str | None, history: list[Turn], seconds: float
) -> None:
    """Steps rise from 0 to below 1, the time is used up exactly, and each source listed belongs to a note told."""
    fractions: list[float | None] = []
    slept: list[float] = []
    query = Query(
        username="MeiLin",
        message=message,
        prompt=prompt,
        history=tuple(history),
        on_report=lambda text, fraction: fractions.append(fraction),
    )
    process_query = demo(PEOPLE, seconds, slept.append)
    answer = process_query(query)
    known = [fraction for fraction in fractions if fraction is not None]
    assert known == sorted(set(known))
    assert len(known) == len(fractions)
    assert (known[0], known[-1] < 1) == (0.0, True)
    assert sum(slept) == pytest.approx(seconds)
    for note in MEI.notes:
        is_told = any(text in answer.text.split("\n\n", 1)[1] for text in note.text.values())
        assert is_told == any(line.endswith(note.source) for line in answer.text.split("\n\n")[-1].splitlines())
    answer.text.encode()
    assert process_query(query) == answer


QUESTIONS = [
    ("VitalikButerin", "Why proof of stake?", "proof of stake"),
    ("VitalikButerin", "以太坊怎么扩容？", "Rollup 扩容"),
    ("VitalikButerin", "What is quadratic funding?", "quadratic funding"),
    ("VitalikButerin", "钱包丢了怎么办", "社交恢复钱包"),
    ("LuXun", "为什么弃医从文？", "弃医从文"),
    ("LuXun", "What is Ah Q about?", "The True Story of Ah Q"),
    ("LuXun", "对年轻人有什么建议", "给青年的话"),
    ("AdaLovelace", "Can machines think?", "thinking machines"),
    ("AdaLovelace", "第一个程序是什么", "第一个程序"),
    ("MarieCurie", "镭是什么", "镭"),
    ("MarieCurie", "Why did you take no patent?", "the radium patent"),
]


BUNDLED = demo(bundled_personas(), seconds=0)


@pytest.mark.parametrize(("username", "message", "title"), QUESTIONS)
def test_the_bundled_personas_find_what_people_ask(username: str, message: str, title: str) -> None:
    """Their answers are of several paragraphs, and list the note that the question is about."""
    text = BUNDLED(Query(username=username, message=message)).text
    paragraphs = text.split("\n\n")
    assert len(paragraphs) >= 4
    assert any(title in line for line in paragraphs[-1].splitlines()[1:])
