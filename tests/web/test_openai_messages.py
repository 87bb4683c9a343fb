"""The messages of a request become a question and its history."""

from __future__ import annotations

import pytest

from persona_stream.errors import InvalidRequest
from persona_stream.query import Turn
from persona_stream.web.openai.messages import LONGEST_TEXTS, ContentPart, RequestMessage, conversation


def test_the_texts_have_a_bound_in_all():
    """However they are spread; characters are code points."""
    half = RequestMessage("user", "😀" * (LONGEST_TEXTS // 2))
    assert conversation([half, half])[1] == half.content
    with pytest.raises(InvalidRequest, match=r"^messages: have 524289 characters, and may have 524288$") as caught:
        conversation([half, RequestMessage("system", "x"), half])
    assert caught.value.field == "messages"


def test_instructions_behind_the_question_belong_to_its_history():
    """Some clients send theirs last."""
    question = RequestMessage("user", [ContentPart("text", "How"), ContentPart("text", "many?")])
    messages = [RequestMessage("assistant", None, refusal="No."), question, RequestMessage("developer", "Be brief.")]
    assert conversation(messages) == ((Turn("assistant", "No."), Turn("system", "Be brief.")), "How\nmany?")


@pytest.mark.parametrize("role", ["assistant", "tool", "function"])
def test_nobody_else_may_have_the_last_word(role: str):
    """What they say would be left out, or the question be asked twice."""
    with pytest.raises(InvalidRequest, match="the last one must be the user's"):
        conversation([RequestMessage("user", "Hi"), RequestMessage(role, "Yes, ")])
