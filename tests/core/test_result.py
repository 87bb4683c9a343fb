"""Tests of the conversion of results to final facts."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.facts import Answered, Failed, ReasoningDelta
from persona_stream.core.query import Answer, Usage
from persona_stream.core.result import Raised, Returned, to_final_facts
from persona_stream.errors import BackendError, InputUnavailable

LIMIT = 100
CALL = ToolCall("call_1", "weather", '{"city":"Wien"}')


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        ("Hello", (Answered("Hello"),)),
        (
            Answer("Hello", usage=Usage(input_tokens=1, output_tokens=2)),
            (Answered("Hello", Usage(input_tokens=1, output_tokens=2)),),
        ),
        (Answer("Hello", reasoning="Hm."), (ReasoningDelta("Hm."), Answered("Hello"))),
        (Answer("", reasoning="Only thought."), (ReasoningDelta("Only thought."), Answered(""))),
        (Answer("Hello", usage={"output_tokens": 2}), (Failed("internal"),)),
        ("half \ud83d a pair and \x00 NUL", (Answered("half \ufffd a pair and \ufffd NUL"),)),
        ("a\nb\r\nc\u2028d\x1b[31m", (Answered("a\nb\r\nc\u2028d\x1b[31m"),)),
        ("x" * LIMIT, (Answered("x" * LIMIT),)),
        ("x" * (LIMIT + 1), (Failed("answer_too_large"),)),
        ("你" * 34, (Failed("answer_too_large"),)),
        (Answer("x" * 60, reasoning="y" * 60), (Failed("answer_too_large"),)),
        ("", (Failed("backend_error"),)),
        (" \n\t ", (Failed("backend_error"),)),
        (Answer(""), (Failed("backend_error"),)),
        (None, (Failed("internal"),)),
        (42, (Failed("internal"),)),
        (b"bytes", (Failed("internal"),)),
        ({"text": "Hello"}, (Failed("internal"),)),
        (Answer(None), (Failed("internal"),)),
        (Answer("Hello", reasoning=7), (Failed("internal"),)),
        (Answer("", finish="length"), (Answered("", finish="length"),)),
        (Answer("", calls=(CALL,), finish="tools"), (Answered("", finish="tools", calls=(CALL,)),)),
        (
            Answer("Hello", calls=(ToolCall("1", "f", '{"a":"\ud83d"}'),)),
            (Answered("Hello", calls=(ToolCall("1", "f", '{"a":"\ufffd"}'),)),),
        ),
        (Answer("Hello", calls=(ToolCall("1", "f", "x" * LIMIT),)), (Failed("answer_too_large"),)),
        (
            Answer("Hello", extras=ProviderFields("openai", {"a": 1})),
            (Answered("Hello", extras=ProviderFields("openai", {"a": 1})),),
        ),
        (Answer("Hello", extras=ProviderFields("openai", {"a": "x" * LIMIT})), (Failed("answer_too_large"),)),
        (Answer("Hello", extras=ProviderFields("openai", {"a": object()})), (Answered("Hello"),)),
        (Answer("Hello", extras=ProviderFields("openai", {"a": "\ud83d"})), (Answered("Hello"),)),
        (Answer("Hello", finish="tired"), (Failed("internal"),)),
        (Answer("Hello", calls=("f",)), (Failed("internal"),)),
        (Answer("Hello", calls=[CALL]), (Failed("internal"),)),
        (Answer("Hello", calls=(ToolCall("1", "f", {}),)), (Failed("internal"),)),
        (Answer("Hello", extras={"a": 1}), (Failed("internal"),)),
    ],
)
def test_every_return_value_ends_the_run(value, facts):
    """Valid answers with ``Answered``, all other values with ``Failed``."""
    assert to_final_facts(Returned(value), LIMIT) == facts


@pytest.mark.parametrize(
    ("value", "sent", "fact"),
    [
        ("", 5, Answered("")),
        ("x" * LIMIT, 1, Failed("answer_too_large")),
        ("x" * (LIMIT - 5), 5, Answered("x" * (LIMIT - 5))),
    ],
)
def test_parts_sent_before_count(value, sent, fact):
    """The rest of the answer may be empty, and the limit applies to all parts together."""
    assert to_final_facts(Returned(value), LIMIT, sent) == (fact,)


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (BackendError("The library is closed."), Failed("backend_error", "The library is closed.")),
        (BackendError(), Failed("backend_error")),
        (BackendError("half \ud83d"), Failed("backend_error", "half \ufffd")),
        (ValueError("internal detail"), Failed("internal")),
        (SystemExit(1), Failed("internal")),
        (RecursionError(), Failed("internal")),
        (InputUnavailable("Which file?"), Answered("Which file?")),
    ],
)
def test_every_exception_ends_the_run(error, fact):
    """The client gets the text of a ``BackendError``, and a question that could not be asked, only."""
    assert to_final_facts(Raised(error), LIMIT) == (fact,)


def test_an_exception_whose_text_cannot_be_read_ends_the_run():
    """Its ``__str__`` raises."""

    class UnprintableError(BackendError):
        def __str__(self):
            raise RuntimeError("no text")

    assert to_final_facts(Raised(UnprintableError("x")), LIMIT) == (Failed("backend_error"),)


@pytest.mark.parametrize("delay", ["soon", math.nan, -1, 10**400])
def test_a_retry_after_that_is_no_delay_is_dropped(delay):
    """Subclasses use the name for values of their own."""
    error = BackendError("Busy.")
    error.retry_after = delay
    assert to_final_facts(Raised(error), LIMIT) == (Failed("backend_error", "Busy."),)
    error.retry_after = True
    assert to_final_facts(Raised(error), LIMIT)[0].retry_after == 1.0


@pytest.mark.parametrize("count", [-1, 1.5, "many", None, 2**63])
def test_token_counts_are_whole_numbers(caplog, count):
    """Metrics and the database take no others."""
    answer = Answer("Hello", usage=Usage(input_tokens=count, output_tokens=1))
    assert to_final_facts(Returned(answer), LIMIT) == (Failed("internal"),)
    assert "the token counts of an Answer must be whole numbers" in caplog.text


def test_the_traceback_is_logged(caplog):
    """For the operator; the client gets no details."""
    to_final_facts(Raised(ValueError("the cause")), LIMIT)
    assert "the cause" in caplog.text
    assert "process_query raised ValueError" in caplog.text


@pytest.mark.parametrize(("value", "kind"), [({"text": "Hello"}, "dict"), (None, "NoneType")])
def test_a_wrong_return_type_is_logged_with_the_name_of_the_function(caplog, value, kind):
    """The author of the function reads its own name, not the name of an interface."""
    to_final_facts(Returned(value), LIMIT, name="my_bot:ask")
    assert f"my_bot:ask returned {kind}: return a string or an Answer" in caplog.text


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"messages": []}, ', such as result["messages"][-1].content'),
        (SimpleNamespace(choices=[]), ", such as response.choices[0].message.content"),
        (SimpleNamespace(content="Hello"), ", such as its content"),
        (SimpleNamespace(content=[{"type": "text"}]), ", such as the text of its content blocks"),
        ([], ""),
    ],
)
def test_a_return_value_of_a_popular_library_is_logged_with_the_way_to_its_text(caplog, value, hint):
    """LangGraph, the OpenAI SDK, LangChain and the Anthropic SDK."""
    to_final_facts(Returned(value), LIMIT)
    assert caplog.messages[0].endswith(f": return a string or an Answer{hint}")


def test_a_coroutine_as_a_return_value_is_logged_with_its_remedy(caplog):
    """A function without ``async`` that returns what it should await."""

    async def agent():
        return "Hello"

    coroutine = agent()
    to_final_facts(Returned(coroutine), LIMIT)
    coroutine.close()
    assert caplog.messages[0].endswith("and declare a function that awaits with async def")
