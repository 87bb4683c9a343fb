"""Tests of the demo backend: whole answers, reported steps, and the questions that visitors ask first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo import demo_backend
from persona_stream.core.query import Answer, Locale, Query, Turn
from persona_stream.errors import BackendError
from persona_stream.personas.persona import KnowledgeItem, Persona, bundled_personas
from tests.fakes import query_with


def note(title: str, title_zh: str, text: str, text_zh: str, *topics: str) -> KnowledgeItem:
    """Create a note in both languages, with a source of its own."""
    source = f"https://example.org/{title.lower().replace(' ', '-')}"
    return KnowledgeItem(topics=(title, title_zh, *topics), text={"en": text, "zh": text_zh}, source=source)


TEA = note("Green tea", "绿茶", "I drink green tea at dawn.", "我清晨喝绿茶。", "tea", "breakfast")
RIVER = note("The river", "河流", "The river floods each spring.", "这条河每年春天泛滥。", "river", "flood")
BRIDGE = note("The old bridge", "老桥", "My bridge is of stone.", "我的桥是石头造的。", "bridge", "stone")
MUSIC = note("My violin", "小提琴", "I play the violin badly.", "我小提琴拉得不好。", "violin", "music", "音乐")
MEI = Persona(
    username="MeiLin",
    name="Mei Lin 林梅",
    tagline={"en": "A ferrywoman", "zh": "一位摆渡人"},
    languages=("en", "zh"),
    notes=(TEA, RIVER, BRIDGE, MUSIC),
)
PERSONAS = {"MeiLin": MEI}


def answer(message: str, **fields: Any) -> Answer:
    """Answer a message as Mei Lin, without delay."""
    result = demo_backend(PERSONAS, 0).process_query(Query(username="MeiLin", message=message, **fields))
    assert isinstance(result, Answer)
    return result


def ask(message: str, **fields: Any) -> str:
    """Return the text of the answer to a message."""
    return answer(message, **fields).text


def test_an_answer_is_the_note_that_fits_and_a_link_to_its_source() -> None:
    """The text is the persona's own, in Markdown; plurals and upper case match too."""
    expected = "My bridge is of stone.\n\n*Demo persona. Sources:* [The old bridge](https://example.org/the-old-bridge)"
    assert ask("Are the old BRIDGES safe?") == expected


def test_a_chinese_question_gets_a_chinese_answer_of_up_to_two_notes() -> None:
    """Topics are found within a sentence without spaces."""
    assert ask("说说音乐和绿茶") == (
        "我清晨喝绿茶。\n\n我小提琴拉得不好。\n\n"
        "*演示角色，出处：* [绿茶](https://example.org/green-tea) · [小提琴](https://example.org/my-violin)"
    )


def test_a_short_topic_does_not_match_inside_a_longer_word() -> None:
    """A steam engine is not about tea."""
    assert "tea at dawn" not in ask("What is a steam engine?")


def test_a_question_without_a_matching_note_gets_suggestions() -> None:
    """The suggestions are titles of notes, as a list, and no sources follow."""
    opening, suggestions = ask("What about pizza?").split("\n\n")
    assert opening == "I have no good answer to that here. You can ask me about:"
    assert sorted(suggestions.splitlines()) == ["- Green tea", "- My violin", "- The old bridge", "- The river"]
    assert ask("天气怎么样？").startswith("这个问题我在这里答不上来。不过，你可以问我：\n\n- ")


def test_a_greeting_is_returned() -> None:
    """The persona introduces itself by the name in the language of the greeting."""
    assert ask("Hello there!").startswith("Hello! In this demo I speak as Mei Lin. You can ask me about:\n\n- ")
    assert ask("你好").startswith("你好！在这个演示里，我以林梅的身份说话。你可以问我：\n\n- ")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_the_prompt_or_the_message_can_ask_for_the_other_language(mode: str) -> None:
    """The prompt takes precedence."""
    assert TEA.text["zh"] in ask("Do you like green tea?", prompt="请用中文回答", prompt_mode=mode)
    assert TEA.text["en"] in ask("你喜欢绿茶吗？", prompt="Answer in English.", prompt_mode=mode)
    assert TEA.text["en"] in ask("用英文说说绿茶")
    assert TEA.text["zh"] in ask("用英文说说绿茶", prompt="Answer in Chinese.")


def test_a_language_that_the_persona_lacks_falls_back_to_the_one_that_it_has() -> None:
    """A persona that speaks English only answers a Chinese question in English."""
    english = replace(MEI, languages=("en",), notes=(replace(TEA, text={"en": TEA.text["en"]}),))
    assert TEA.text["en"] in ask("绿茶好喝吗？", persona=english)


def test_a_follow_up_continues_with_unused_notes() -> None:
    """When none is left, it gets suggestions."""
    question = Turn("user", "old bridge or violin?")
    history = (question, Turn("assistant", BRIDGE.text["en"]))
    assert ask("Tell me more.", history=history).startswith(MUSIC.text["en"])
    history = (question, Turn("assistant", f"{BRIDGE.text['en']} {MUSIC.text['en']}"))
    assert ask("Tell me more.", history=history).startswith("I have no good answer")


def test_the_reasoning_lists_the_notes_that_fit() -> None:
    """A greeting has none."""
    assert answer("river and violin").reasoning == "Notes that fit the question: My violin; The river"
    assert answer("音乐和绿茶").reasoning == "与问题有关的资料：绿茶；小提琴"
    assert answer("hi").reasoning is None


def test_the_persona_of_the_query_answers() -> None:
    """Also one that is not configured, and one with a configured username."""
    query = Query(username="MeiLin", message="river or tea", persona=replace(MEI, notes=(RIVER,)))
    for personas in ({}, PERSONAS):
        result = demo_backend(personas, 0).process_query(query)
        assert isinstance(result, Answer)
        assert result.text.startswith(RIVER.text["en"])
        assert TEA.text["en"] not in result.text


def test_an_empty_profile_is_reported_as_such() -> None:
    """The answer has no empty list."""
    empty = replace(MEI, notes=())
    assert ask("tea?", persona=empty) == "My profile is still empty, so I cannot answer questions yet."


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "There is no persona called “Nobody” here. Available: MeiLin"),
        ("zh", "这里没有名为“Nobody”的角色。可以选择：MeiLin"),
    ],
)
def test_an_unknown_persona_is_an_error_that_lists_the_known_ones(locale: Locale, text: str) -> None:
    """The text is in the language of the query."""
    with pytest.raises(BackendError) as failed:
        demo_backend(PERSONAS, 0).process_query(Query(username="Nobody", message="tea?", locale=locale))
    assert str(failed.value) == text


@pytest.mark.parametrize(
    ("locale", "texts"),
    [
        (
            "zh",
            ["正在阅读问题...", "正在查阅林梅的 4 条资料...", "找到 1 条相关资料，正在撰写回答...", "正在整理出处..."],
        ),
        (
            "en",
            [
                "Reading the question...",
                "Searching 4 notes of Mei Lin...",
                "Found 1 that fit, writing the answer...",
                "Collecting the sources...",
            ],
        ),
    ],
)
def test_each_step_is_reported_with_the_share_of_the_time_that_has_passed(locale: Locale, texts: list[str]) -> None:
    """Each one then sleeps until the next one begins, and together they take the whole time."""
    record: list[object] = []

    def on_report(text: str, fraction: float | None) -> None:
        record.append((text, fraction))

    query = query_with(Query(username="MeiLin", message="tea?", locale=locale), on_progress=on_report)
    demo_backend(PERSONAS, 10.0, lambda seconds: record.append(round(seconds, 6))).process_query(query)
    fractions = [0.0, 0.2, 0.5, 0.85]
    expected: list[object] = []
    for text, start, duration in zip(texts, fractions, [2.0, 3.0, 3.5, 1.5], strict=True):
        expected += [(text, start), duration]
    assert record == expected


MESSAGES = st.one_of(
    st.text(min_size=1),
    st.sampled_from(["tea", "绿茶和音乐", "the river", "你好", "and why?", "{name} {0} %s", "桥 bridge stone"]),
)


@settings(deadline=None)
@given(
    message=MESSAGES,
    prompt=st.one_of(st.none(), st.text(), st.sampled_from(["用英文", "in Chinese"])),
    history=st.lists(st.builds(Turn, st.sampled_from(["user", "assistant", "system", "tool"]), MESSAGES), max_size=4),
)
def test_the_same_query_gets_the_same_answer_with_the_sources_of_its_notes(
    message: str, prompt: str | None, history: list[Turn]
) -> None:
    """Any text is answered, and the answer can be encoded."""
    first = answer(message, prompt=prompt, history=tuple(history))
    for item in MEI.notes:
        assert any(text in first.text for text in item.text.values()) == (item.source in first.text)
    first.text.encode()
    assert answer(message, prompt=prompt, history=tuple(history)) == first


QUESTIONS = [
    ("VitalikButerin", "Why proof of stake?", "Proof of stake"),
    ("VitalikButerin", "以太坊怎么扩容？", "Rollup 扩容"),
    ("VitalikButerin", "What is quadratic funding?", "Quadratic funding"),
    ("VitalikButerin", "钱包丢了怎么办", "社交恢复钱包"),
    ("LuXun", "为什么弃医从文？", "弃医从文"),
    ("LuXun", "What is Ah Q about?", "The True Story of Ah Q"),
    ("LuXun", "对年轻人有什么建议", "给青年的话"),
    ("AdaLovelace", "Can machines think?", "Can machines think?"),
    ("AdaLovelace", "第一个程序是什么", "第一个程序"),
    ("MarieCurie", "镭是什么", "镭"),
    ("MarieCurie", "Why did you take no patent?", "Why we took no patent"),
]
IDEAS = [  # that the test page offers
    "What is your opinion on AI?",
    "你怎么看人工智能？",
    "What are you working on, and why?",
    "你在做什么？为什么？",
    "Explain your most important idea to a beginner.",
    "向初学者讲讲你最重要的想法。",
]
BUNDLED = bundled_personas()


def ask_bundled(username: str, message: str) -> str:
    result = demo_backend(BUNDLED, 0).process_query(Query(username=username, message=message))
    assert isinstance(result, Answer)
    return result.text


@pytest.mark.parametrize(("username", "message", "title"), QUESTIONS)
def test_the_bundled_personas_have_notes_for_likely_questions(username: str, message: str, title: str) -> None:
    """The source of the note that the question is about is linked."""
    assert f"[{title}](https://" in ask_bundled(username, message)


@pytest.mark.parametrize("username", BUNDLED)
@pytest.mark.parametrize("idea", IDEAS)
def test_the_bundled_personas_answer_every_idea_of_the_page(username: str, idea: str) -> None:
    """In the first person, and with a source."""
    text = ask_bundled(username, idea)
    assert "](https://" in text
    assert " I " in f" {text}" or "我" in text
