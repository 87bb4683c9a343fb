"""Tests of the decoder of Responses API streams, with events as they were recorded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai_responses.response import parse_completion
from persona_stream.backends.openai_responses.stream import ResponsesStreamDecoder
from persona_stream.backends.providers.base import StreamDelta
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import cuts
from tests.backends.openai_responses.test_response import CALL, body, message, reasoning, text, usage


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def delta(value: str, index: int = 0, kind: str = "output_text") -> dict[str, Any]:
    return event(f"{kind}.delta", output_index=index, item_id="msg_1", content_index=0, delta=value)


def summary(value: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return event("reasoning_summary_text.delta", output_index=index, item_id="rs_1", summary_index=part, delta=value)


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=item)


def read(*events: dict[str, Any]) -> tuple[list[tuple[str, str]], Answer]:
    decoder = ResponsesStreamDecoder()
    said = [one for each in events for one in decoder.feed(each)]
    assert all(isinstance(one, StreamDelta) and one.text for one in said)
    return [(one.kind, one.text) for one in said], decoder.result()


CREATED = event("created", response=body(status="in_progress"))
WORKING = event("in_progress", response=body(status="in_progress"))


def test_a_stream_as_openai_has_it() -> None:
    """Reasoning, text and a call, with repeated signs of life between them."""
    items = [reasoning("6 × 7", "= 42"), message(text("Forty-two.")), CALL]
    last = event("completed", response=body(*items, usage=usage()))
    said, answer = read(
        CREATED, WORKING, WORKING,
        event("output_item.added", output_index=0, item={"type": "reasoning", "summary": []}),
        summary("6 "), summary("× 7"), summary("= 42", part=1), done(items[0]),
        event("output_item.added", output_index=1, item={"type": "message", "content": []}),
        event("content_part.added", output_index=1, content_index=0, part=text("")),
        delta("Forty", 1), delta("", 1), delta("-two.", 1),
        event("output_text.done", output_index=1, content_index=0, text="Forty-two."),
        event("content_part.done", output_index=1, content_index=0, part=text("Forty-two.")), done(items[1], 1),
        event("output_item.added", output_index=2, item=CALL | {"arguments": ""}),
        event("function_call_arguments.delta", output_index=2, delta=CALL["arguments"]),
        event("function_call_arguments.done", output_index=2, arguments=CALL["arguments"]), done(CALL, 2),
        last,
    )  # fmt: skip
    assert said[:5] == [
        ("reasoning", "6 "), ("reasoning", "× 7"), ("reasoning", "\n\n= 42"), ("text", "Forty"), ("text", "-two."),
    ]  # fmt: skip
    assert said[5][0] == "rest"
    assert (answer.text, answer.reasoning, answer.finish) == ("", None, "tools")
    assert [call.id for call in answer.calls] == ["call_1"]
    assert answer.usage == Usage(input_tokens=7, output_tokens=9)


def test_items_without_deltas_are_delivered_when_they_are_done() -> None:
    """Small gateways send whole items only, and leave the last response empty."""
    items = [reasoning("6 × 7"), message(text("42"))]
    said, answer = read(done(items[0]), done(items[1], 1), event("completed", response=body()))
    assert said == [("reasoning", "6 × 7"), ("text", "42")]
    assert answer == Answer("")


@pytest.mark.parametrize(
    ("last", "finish"),
    [
        (
            event("incomplete", response=body(status="incomplete", incomplete_details={"reason": "max_output_tokens"})),
            "length",
        ),
        (event("completed", response=body()), "stop"),
    ],
)
def test_the_ending_decides(last: dict[str, Any], finish: str) -> None:
    """A truncated answer is never presented as complete."""
    _, answer = read(delta("Half"), done(message(text("Half"))), last)
    assert answer.finish == finish


def test_a_refusal_is_text() -> None:
    """With its finish reason."""
    refusal = {"type": "refusal", "refusal": "I cannot."}
    said, answer = read(
        delta("I cannot.", kind="refusal"), done(message(refusal)), event("completed", response=body(message(refusal)))
    )
    assert (said, answer.finish) == ([("text", "I cannot.")], "refusal")


def test_a_stream_is_complete_with_its_last_event_only() -> None:
    """Losing the connection before it may lose calls."""
    decoder = ResponsesStreamDecoder()
    decoder.feed(done(message(text("42"))))
    assert (decoder.is_complete, decoder.is_closed) == (False, False)
    decoder.feed(event("completed", response=body()))
    assert (decoder.is_complete, decoder.is_closed) == (True, True)


def test_an_empty_stream_has_no_answer() -> None:
    """It is an error."""
    with pytest.raises(ProviderError):
        read(CREATED, event("completed", response=body()))


NAMES = [
    "type", "delta", "output_index", "summary_index", "item", "response", "output", "content", "summary", "text",
    "name", "arguments", "call_id", "status", "incomplete_details", "usage", "input_tokens", "output_tokens",
]  # fmt: skip
KINDS = [
    "message", "reasoning", "function_call", "custom_tool_call", "response.output_item.done", "response.completed",
    "response.output_text.delta", "response.reasoning_text.delta", "refusal", "output_text",
]  # fmt: skip
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), max_size=8), JSON)
def test_any_events_are_an_answer_or_an_error(events: list[dict[str, Any]], output: object) -> None:
    """No other exception escapes."""
    try:
        _, answer = read(*events, event("completed", response=body() | {"output": output}))
    except ProviderError:
        return
    assert (answer.text, answer.reasoning) == ("", None)


@given(st.text(min_size=1).filter(str.strip), st.text(), st.data())
def test_a_stream_has_the_answer_of_a_whole_response(answer_text: str, thought: str, data: st.DataObject) -> None:
    """However the provider cuts its text."""
    items = [*([reasoning(thought)] if thought else []), message(text(answer_text)), CALL]
    index = len(items) - 2
    whole = parse_completion(body(*items, usage=usage()))
    said, answer = read(
        *(summary(part) for part in cuts(data, thought)),
        *(delta(part, index) for part in cuts(data, answer_text)),
        *(done(item, number) for number, item in enumerate(items)),
        event("completed", response=body(*items, usage=usage())),
    )
    assert "".join(part for kind, part in said if kind == "text") == whole.text
    assert "".join(part for kind, part in said if kind == "reasoning") == (whole.reasoning or "")
    assert (answer.finish, answer.calls, answer.usage) == (whole.finish, whole.calls, whole.usage)
