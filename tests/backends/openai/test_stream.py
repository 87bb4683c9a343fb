"""Tests of the decoder of Chat Completions streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai.response import parse_completion
from persona_stream.backends.openai.stream import OpenAIStreamDecoder
from persona_stream.backends.providers.base import StreamDelta
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import chunk, cuts

COUNTS = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
USAGE = Usage(input_tokens=7, output_tokens=9)


def call(index: int, name: str | None = None, arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}} | more]}


def read(*events: dict[str, Any]) -> tuple[list[tuple[str, str]], Answer]:
    stream = OpenAIStreamDecoder()
    said = [one for event in events for one in stream.feed(event)]
    assert all(isinstance(one, StreamDelta) and one.text for one in said)
    return [(one.kind, one.text) for one in said], stream.result()


@pytest.mark.parametrize(
    ("events", "said", "answer"),
    [
        pytest.param(
            [
                chunk(delta={"role": "assistant", "content": ""}),
                chunk("Forty", usage=None),
                chunk("-two."),
                chunk(finish_reason="stop"),
                {"choices": [], "usage": COUNTS},
            ],
            [("text", "Forty"), ("text", "-two.")],
            Answer("", usage=USAGE),
            id="as OpenAI has it",
        ),
        pytest.param(
            [chunk(delta={"reasoning_content": "6 "}), chunk(delta={"reasoning": "× 7"}), chunk("42")],
            [("reasoning", "6 "), ("reasoning", "× 7"), ("text", "42")],
            Answer(""),
            id="reasoning",
        ),
        pytest.param(
            [chunk("42", delta={"reasoning_content": "6 × 7", "reasoning": "6 × 7"})],
            [("reasoning", "6 × 7"), ("text", "42")],
            Answer(""),
            id="reasoning under two names",
        ),
        pytest.param(
            [
                chunk([{"type": "thinking", "thinking": [{"type": "text", "text": "6 × 7"}]}]),
                chunk([{"type": "text", "text": "42"}]),
            ],
            [("reasoning", "6 × 7"), ("text", "42")],
            Answer(""),
            id="reasoning as Mistral has it",
        ),
        pytest.param(
            [chunk("I look."), chunk(delta=call(0, "look", "{", id="a")), chunk(delta=call(0, arguments="}"))],
            [("text", "I look."), ("rest", "alook{"), ("rest", "}")],
            Answer("", finish="tools", calls=(ToolCall("a", "look", "{}"),)),
            id="a call",
        ),
        pytest.param(
            [chunk(delta=call(0, "look", '{"at', id="a")), chunk(finish_reason="length")],
            [("rest", 'alook{"at')],
            Answer("", finish="length", calls=(ToolCall("a", "look", '{"at'),)),
            id="a call that is cut",
        ),
        pytest.param(
            [chunk("Forty-", finish_reason="length")], [("text", "Forty-")], Answer("", finish="length"), id="length"
        ),
        pytest.param([chunk(finish_reason="length")], [], Answer("", finish="length"), id="nothing but length"),
        pytest.param(
            [chunk("Forty-"), chunk(finish_reason="content_filter")],
            [("text", "Forty-")],
            Answer("", finish="filter"),
            id="filter",
        ),
        pytest.param(
            [chunk(delta={"refusal": "No"}), chunk(delta={"refusal": "."})],
            [("text", "No"), ("text", ".")],
            Answer("", finish="refusal"),
            id="a refusal",
        ),
        pytest.param(
            [chunk("a", finish_reason=""), chunk("b", finish_reason="stop"), chunk("c")],
            [("text", "a"), ("text", "b"), ("text", "c")],
            Answer(""),
            id="an empty reason in every chunk",
        ),
        pytest.param(
            [
                {},
                {"choices": None},
                {"choices": [None]},
                {"choices": ["x"]},
                {"choices": {}},
                {"choices": [{"delta": None}]},
                {"choices": [{"delta": [], "finish_reason": 7}]},
                chunk(7, delta={"reasoning": 7, "refusal": 7, "tool_calls": 7}),
                chunk(delta={"content": None, "tool_calls": [None, 7, {}, {"function": None}], "role": None}),
                chunk("42"),
            ],
            [("text", "42")],
            Answer(""),
            id="nulls and nonsense",
        ),
        pytest.param(
            [chunk("Forty"), chunk("-two."), {"choices": [{"delta": {}, "message": {"content": "Forty-two."}}]}],
            [("text", "Forty"), ("text", "-two.")],
            Answer(""),
            id="abundantbeing/hermes-browser-extension #11: the whole message in the last chunk",
        ),
        pytest.param(
            [
                {"choices": [{"message": {"content": "Forty", "reasoning": "6"}}]},
                {"choices": [{"message": {"content": "Forty-two.", "reasoning": "6 × 7"}, "finish_reason": "stop"}]},
            ],
            [("reasoning", "6"), ("text", "Forty"), ("reasoning", " × 7"), ("text", "-two.")],
            Answer(""),
            id="swuecho/chat #687: the answer so far in each chunk",
        ),
        pytest.param(
            [
                chunk("42", usage={"prompt_tokens": 7, "prompt_tokens_details": None}),
                chunk(finish_reason="stop", usage={"prompt_tokens": None, "completion_tokens": 9}),
                {"choices": [], "usage": {}},
            ],
            [("text", "42")],
            Answer("", usage=USAGE),
            id="theopenco/llmgateway PR 2861, co-l/openfox PR 236: counts in parts, and null",
        ),
        pytest.param(
            [
                chunk("42"),
                {"choices": [{"delta": {}, "finish_reason": "stop", "usage": COUNTS}]},
            ],
            [("text", "42"), ("rest", json.dumps(COUNTS))],
            Answer("", usage=USAGE, extras=ProviderFields("openai", {"choice": {"usage": COUNTS}})),
            id="earendil-works/pi #2017: the counts in the choice",
        ),
        pytest.param(
            [
                chunk("a", delta={"annotations": [1], "x": "y"}, service_tier="default"),
                chunk("b", delta={"annotations": [2], "x": "z", "odd": {"n": 1}, "audio": None}, obfuscation="ab"),
                chunk(delta={"odd": {"n": 2}}, usage=COUNTS | {"cost": 0.1}, service_tier=None),
            ],
            [
                ("text", "a"), ("rest", "[1]"), ("rest", '"y"'),
                ("text", "b"), ("rest", "[2]"), ("rest", '"z"'), ("rest", '{"n": 1}'),
                ("rest", '{"n": 2}'),
            ],
            Answer(
                "",
                usage=USAGE,
                extras=ProviderFields(
                    "openai",
                    {
                        "message": {"annotations": [1, 2], "x": "yz", "odd": {"n": 2}},
                        "completion": {"service_tier": "default"},
                        "usage": {"cost": 0.1},
                    },
                ),
            ),
            id="what is not ours",
        ),
    ],
)  # fmt: skip
def test_chunks_give_deltas_and_an_answer(
    events: list[dict[str, Any]], said: list[tuple[str, str]], answer: Answer
) -> None:
    """Text and reasoning are returned at once; calls, finish reason and usage at the end; nothing twice."""
    heard, found = read(*events)
    assert sorted(heard) == sorted(said)
    assert [one for one in heard if one[0] != "rest"] == [one for one in said if one[0] != "rest"]
    assert found == answer


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([], "empty"),
        ([chunk(finish_reason="stop")], "empty"),
        ([chunk(" \n"), chunk(finish_reason="stop")], "empty"),
        ([chunk(finish_reason="content_filter")], "filtered"),
        ([chunk("a", finish_reason="error")], "failed"),
        ([chunk(delta=call(0, None, "{}"))], "unreadable"),
    ],
)
def test_streams_without_an_answer_raise_an_error(events: list[dict[str, Any]], kind: str) -> None:
    """The same errors as for a whole response."""
    with pytest.raises(ProviderError) as found:
        read(*events)
    assert found.value.kind == kind


def test_a_stream_is_complete_at_its_finish_reason_and_closed_at_its_end_mark() -> None:
    """A connection lost before the finish reason would lose content."""
    stream = OpenAIStreamDecoder()
    for event in (chunk("a"), chunk("b", finish_reason=""), {"choices": [], "usage": COUNTS}):
        stream.feed(event)
        assert (stream.is_complete, stream.is_closed) == (False, False)
    stream.feed(chunk(finish_reason="stop"))
    assert (stream.is_complete, stream.is_closed) == (True, False)
    stream.close()
    assert (stream.is_complete, stream.is_closed) == (True, True)


def test_the_raw_completion_is_rebuilt() -> None:
    """For the request log, as if it had come whole."""
    _, answer = read(
        chunk("Forty", delta={"reasoning_content": "6 × 7"}, model="m1", created=5),
        chunk("-two.", delta=call(0, "look", "{}", id="a")),
        chunk(finish_reason="stop", usage=COUNTS),
    )
    assert answer.raw == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m1",
        "created": 5,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Forty-two.",
                    "reasoning_content": "6 × 7",
                    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
                },
                "finish_reason": "stop",
            }
        ],
        "usage": COUNTS,
    }


NAMES = ["choices", "delta", "content", "finish_reason", "tool_calls", "index", "id", "function", "name", "arguments"]
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "usage", "thinking", "x"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), JSON) | JSON.map(lambda inner: {"choices": [{"delta": inner}]}))
)
def test_any_chunks_are_an_answer_or_an_error(events: list[dict[str, Any]]) -> None:
    """No other exception escapes."""
    try:
        _, answer = read(*events)
    except ProviderError:
        return
    assert (answer.text, answer.reasoning) == ("", None)


@given(st.data())
def test_a_stream_gives_the_same_answer_as_a_whole_response(data: st.DataObject) -> None:
    """For any split of the answer into chunks."""
    text = data.draw(st.text(min_size=1).filter(str.strip))
    thoughts = data.draw(st.text())
    names = data.draw(st.lists(st.sampled_from(["look", "wait"]), max_size=2))
    calls = [
        {
            "id": f"id{at}",
            "type": "function",
            "function": {"name": name, "arguments": data.draw(st.sampled_from(["{}", '{"a":1}']))},
        }
        for at, name in enumerate(names)
    ]
    message = {"role": "assistant", "content": text, "reasoning_content": thoughts, "tool_calls": calls, "x": [1]}
    reason = data.draw(st.sampled_from(["stop", "length", "content_filter", "tool_calls", None]))
    whole = {"choices": [{"message": message, "finish_reason": reason}], "usage": COUNTS, "service_tier": "default"}
    events = [chunk(delta={"reasoning_content": part}) for part in cuts(data, thoughts)]
    events += [chunk(part) for part in cuts(data, text)]
    for at, made in enumerate(calls):
        function = made["function"]
        events.append(chunk(delta=call(at, function["name"], "", id=made["id"])))
        events += [chunk(delta=call(at, arguments=part)) for part in cuts(data, function["arguments"])]
    events += [
        chunk(delta={"x": [1]}, finish_reason=reason),
        {"choices": [], "usage": COUNTS, "service_tier": "default"},
    ]
    heard, answer = read(*events)
    expected = parse_completion(whole)
    assert "".join(text for kind, text in heard if kind == "text") == expected.text
    assert ("".join(text for kind, text in heard if kind == "reasoning") or None) == expected.reasoning
    assert (answer.usage, answer.finish, answer.calls, answer.extras) == (
        expected.usage, expected.finish, expected.calls, expected.extras,
    )  # fmt: skip
