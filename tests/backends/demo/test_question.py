"""Question: what is asked, and what a follow-up goes on with."""

from __future__ import annotations

import pytest

from persona_stream.backends.demo.question import Question, understand
from persona_stream.core.query import Query, Turn
from tests.backends.demo.people import MEI

TALK = (
    Turn("system", "violin"),
    Turn("user", "Tell me about the river."),
    Turn("assistant", "It floods."),
    Turn("user", "Thank you!"),
    Turn("assistant", "You are welcome."),
)


def asked(message: str, *history: Turn) -> Question:
    return understand(Query(username="MeiLin", message=message, history=history), MEI, lambda term: term in "镭茶")


def test_a_question_has_its_words_each_once() -> None:
    """With the single characters that the profile knows, and no others."""
    assert asked("Tea, tea and 镭？").terms == {"tea": 1.0, "镭": 1.0}


@pytest.mark.parametrize("message", ["Hello, Mei Lin!", "林梅，你好", "Who are you?", "你是谁", "MeiLin", "?"])
def test_a_greeting_asks_for_nothing_in_particular(message: str) -> None:
    """Nor does the persona's own name: every note is about them."""
    assert asked(message) == Question(message, {})


@pytest.mark.parametrize("message", ["and why?", "Tell me more", "为什么？", "再详细一点", "那然后呢"])
def test_a_follow_up_goes_on_with_the_last_message_that_asked(message: str) -> None:
    """Thanks and answers in between are passed over."""
    assert asked(message, *TALK) == Question(
        message, {"river": 0.5}, earlier="Tell me about the river.", told="It floods.\nYou are welcome."
    )


def test_a_follow_up_with_words_of_its_own_puts_them_first() -> None:
    """ "It" refers back, and "stone" is new."""
    question = asked("is it of stone?", *TALK)
    assert question.terms == {"river": 0.5, "ston": 1.0}
    assert question.earlier == "Tell me about the river."


@pytest.mark.parametrize("message", ["What is your favourite pizza?", "你喜欢绿茶吗"])
def test_a_new_question_stands_alone(message: str) -> None:
    """Whatever was talked about before."""
    assert asked(message, *TALK) == Question(message, asked(message).terms, told="It floods.\nYou are welcome.")


def test_a_follow_up_to_nothing_is_a_greeting() -> None:
    """Without an earlier question there is nothing to go on with."""
    assert asked("and why?", Turn("user", "Hello")) == Question("and why?", {})
