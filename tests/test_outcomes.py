"""What the end of process_query becomes."""

from __future__ import annotations

import pytest

from persona_stream.errors import BackendError
from persona_stream.executors import Raised, Returned
from persona_stream.facts import Answered, Failed, Reasoned
from persona_stream.outcomes import conclude
from persona_stream.query import Answer, Usage

LIMIT = 100


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        ("Hello", (Answered("Hello"),)),
        (Answer("Hello", usage=Usage(input_tokens=1, output_tokens=2)),
         (Answered("Hello", Usage(input_tokens=1, output_tokens=2)),)),
        (Answer("Hello", reasoning="Hm."), (Reasoned("Hm."), Answered("Hello"))),
        (Answer("", reasoning="Only thought."), (Reasoned("Only thought."), Answered(""))),
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
    ],
)  # fmt: skip
def test_every_result_has_its_outcome(value, facts):
    """Whatever a stranger's function returns, the run ends, and is honest."""
    assert conclude(Returned(value), LIMIT) == facts


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (BackendError("The library is closed."), Failed("backend_error", "The library is closed.")),
        (BackendError(), Failed("backend_error")),
        (BackendError("half \ud83d"), Failed("backend_error", "half \ufffd")),
        (ValueError("secret of ours"), Failed("internal")),
        (SystemExit(1), Failed("internal")),
        (RecursionError(), Failed("internal")),
    ],
)
def test_every_error_has_its_outcome(error, fact):
    """A deliberate error's text is the client's; of any other the client learns nothing."""
    assert conclude(Raised(error), LIMIT) == (fact,)


def test_the_traceback_goes_to_the_log(caplog):
    """What the client does not learn, the operator does."""
    conclude(Raised(ValueError("the cause")), LIMIT)
    assert "the cause" in caplog.text
    assert "process_query raised ValueError" in caplog.text
