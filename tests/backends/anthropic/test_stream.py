"""Tests of the decoder of Messages API streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.anthropic.response import parse_message
from persona_stream.backends.anthropic.stream import AnthropicStreamDecoder
from persona_stream.backends.providers.base import StreamDelta
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import PING, STOPPED, begun, block, cuts, ended, message, part

USAGE = Usage(input_tokens=7, output_tokens=9)
CALLED = ToolCall("toolu_1", "look", '{"at": "sky"}')


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def use(index: int, **more: Any) -> dict[str, Any]:
    return block(index, **{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}} | more)


def extras(reason: str = "end_turn", **more: Any) -> ProviderFields:
    return ProviderFields("anthropic", {"message": {"stop_reason": reason} | more.pop("message", {})} | more)


def read(*events: dict[str, Any]) -> tuple[list[tuple[str, str]], Answer]:
    stream = AnthropicStreamDecoder()
    said = [one for event in events for one in stream.feed(event)]
    assert all(isinstance(one, StreamDelta) and one.text for one in said)
    return [(one.kind, one.text) for one in said if one.kind != "rest"], stream.result()


@pytest.mark.parametrize(
    ("events", "said", "answer"),
    [
        pytest.param(
            [begun(input_tokens=7, output_tokens=1), PING, block(), part("Forty"), PING, part("-two."), stop(0),
             ended(output_tokens=9), STOPPED],
            [("text", "Forty"), ("text", "-two.")],
            Answer("", usage=USAGE, extras=extras()),
            id="as Anthropic has it",
        ),
        pytest.param(
            [begun(), block(0, type="thinking", thinking=""), part("6 × 7", 0, "thinking"),
             {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
             stop(0), block(1), part("42", 1), stop(1), ended(), STOPPED],
            [("reasoning", "6 × 7"), ("text", "42")],
            Answer("", extras=extras(thinking=[(5, "x")])),
            id="thinking",
        ),
        pytest.param(
            [begun(), block(), part("I look."), stop(0), use(1), part('{"at":', 1, "input_json"),
             part(' "sky"}', 1, "input_json"), stop(1), ended("tool_use"), STOPPED],
            [("text", "I look.")],
            Answer("", finish="tools", calls=(CALLED,), extras=extras("tool_use")),
            id="a call",
        ),
        pytest.param(
            [use(1), use(0, id="toolu_2"), part("{", 1, "input_json"), part("{", 0, "input_json"),
             part("}", 1, "input_json"), part("}", 0, "input_json"), ended("tool_use")],
            [],
            Answer("", finish="tools", extras=extras("tool_use"),
                   calls=(ToolCall("toolu_1", "look", "{}"), ToolCall("toolu_2", "look", "{}"))),
            id="two calls in turns",
        ),
        pytest.param(
            [use(0, input={"at": "sky"}), ended("tool_use")],
            [],
            Answer("", finish="tools", calls=(CALLED,), extras=extras("tool_use")),
            id="a call at once",
        ),
        *(
            pytest.param(
                [use(0), part("", 0, "input_json"), *(part(each, 0, "input_json") for each in pieces), STOPPED],
                [], Answer("", finish="tools", calls=(CALLED,)), id=source,
            )
            for pieces, source in (
                (["{}", '{"at": "sky"}'], "envoyproxy/ai-gateway #1465: an empty object before the arguments"),
                (['"{\\"at\\": \\"sky\\"}"'], "livekit/agents PR 5411: arguments that are encoded twice"),
            )
        ),
        pytest.param(
            [use(0), part('{"at', 0, "input_json"), ended("max_tokens")],
            [],
            Answer("", finish="length", calls=(ToolCall("toolu_1", "look", '{"at'),), extras=extras("max_tokens")),
            id="a call that is cut",
        ),
        pytest.param([block(), part("Forty-"), ended("max_tokens")], [("text", "Forty-")],
                     Answer("", finish="length", extras=extras("max_tokens")), id="length"),
        pytest.param([block(), part("Forty-"), ended("refusal")], [("text", "Forty-")],
                     Answer("", finish="filter", extras=extras("refusal")), id="refusal"),
        pytest.param([begun(input_tokens=7), ended("max_tokens", output_tokens=9)], [],
                     Answer("", usage=USAGE, finish="length", extras=extras("max_tokens")), id="nothing but length"),
        pytest.param([block(0, type="text", text="Forty"), part("-two."), STOPPED],
                     [("text", "Forty"), ("text", "-two.")], Answer(""), id="a block that begins with text"),
        pytest.param([part("Forty"), part("-two.", 3), part("!", 3), ended()],
                     [("text", "Forty"), ("text", "-two."), ("text", "!")], Answer("", extras=extras()),
                     id="blocks without a start"),
        pytest.param(
            [begun(input_tokens=7, cache_read_input_tokens=300), block(), part("42"),
             {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": {"id": "c"}},
              "usage": {"output_tokens": 9, "input_tokens": None, "server_tool_use": {"web_search_requests": 1}}}],
            [("text", "42")],
            Answer("", usage=Usage(input_tokens=307, output_tokens=9),
                   extras=extras(message={"container": {"id": "c"}},
                                 usage={"cache_read_input_tokens": 300,
                                        "server_tool_use": {"web_search_requests": 1}})),
            id="usage of the cache",
        ),
        pytest.param(
            [block(0, type="server_tool_use", id="s", name="web_search", input={}), part('{"query": ', 0, "input_json"),
             part('"x"}', 0, "input_json"), stop(0), block(1, type="redacted_thinking", data="y"), block(2),
             part("42", 2), ended()],
            [("text", "42")],
            Answer("", extras=extras(content=[
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
                {"type": "redacted_thinking", "data": "y"},
            ])),
            id="blocks that are not ours",
        ),
        pytest.param(
            [{}, {"type": None}, {"type": "never heard of"}, {"type": "message_start", "message": None},
             {"type": "message_start", "message": {"usage": 7, "content": None}}, {"type": "message_delta"},
             {"type": "message_delta", "delta": {"stop_reason": None}, "usage": []},
             {"type": "content_block_start"}, {"type": "content_block_start", "content_block": {"type": 7}},
             {"type": "content_block_start", "index": [], "content_block": {"type": "text", "text": None}},
             {"type": "content_block_delta"}, {"type": "content_block_delta", "index": {}, "delta": {}},
             {"type": "content_block_delta", "index": "x", "delta": {"type": "text_delta", "text": "42"}},
             {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
             {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}},
             {"type": "content_block_delta", "index": 0, "delta": {"type": "never heard of"}}, stop(9)],
            [("text", "42")],
            Answer("", extras=ProviderFields("anthropic", {"content": [{"type": 7}]})),
            id="nulls and nonsense",
        ),
    ],
)  # fmt: skip
def test_events_give_deltas_and_an_answer(
    events: list[dict[str, Any]], said: list[tuple[str, str]], answer: Answer
) -> None:
    """Text and thinking are returned at once; calls, stop reason and usage at the end; nothing twice."""
    assert read(*events) == (said, answer)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([], "empty"),
        ([begun(), ended(), STOPPED], "empty"),
        ([block(), part(" \n"), ended()], "empty"),
        ([block(0, type="thinking"), part("6 × 7", 0, "thinking"), ended()], "empty"),
        ([begun(), ended("refusal")], "filtered"),
        ([part("{}", 0, "input_json")], "unreadable"),
        ([use(0, name=None), ended("tool_use")], "unreadable"),
    ],
)
def test_streams_without_an_answer_raise_an_error(events: list[dict[str, Any]], kind: str) -> None:
    """The same errors as for a whole response."""
    with pytest.raises(ProviderError) as found:
        read(*events)
    assert found.value.kind == kind


def test_a_stream_is_complete_at_its_stop_reason_and_closed_at_its_last_event() -> None:
    """A connection lost before the stop reason would lose content."""
    stream = AnthropicStreamDecoder()
    for event in (begun(), block(), part("a"), stop(0), ended(None, output_tokens=1)):
        stream.feed(event)
        assert (stream.is_complete, stream.is_closed) == (False, False)
    stream.feed(ended())
    assert (stream.is_complete, stream.is_closed) == (True, False)
    stream.feed(ended(None))
    assert stream.is_complete
    stream.feed(STOPPED)
    assert (stream.is_complete, stream.is_closed) == (True, True)


NAMES = ["type", "index", "delta", "content_block", "message", "text", "partial_json", "input", "usage", "stop_reason"]
KINDS = ["message_start", "content_block_start", "content_block_delta", "message_delta", "text_delta", "tool_use"]
JSON: Any = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.sampled_from([*KINDS, "text", "input_json_delta"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5), max_size=8))
def test_any_events_are_an_answer_or_an_error(events: list[dict[str, Any]]) -> None:
    """No other exception escapes."""
    try:
        _, answer = read(*events)
    except ProviderError:
        return
    assert (answer.text, answer.reasoning) == ("", None)


@given(st.data())
def test_a_stream_gives_the_same_answer_as_a_whole_response(data: st.DataObject) -> None:
    """For any split of the answer into events."""
    thoughts = data.draw(st.text())
    text = data.draw(st.text(min_size=1).filter(str.strip))
    given_ = data.draw(st.dictionaries(st.text(max_size=3), st.text(max_size=9)))
    reason = data.draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "pause_turn"]))
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": given_}
    whole = message(
        {"type": "thinking", "thinking": thoughts}, text, call,
        stop_reason=reason, usage={"input_tokens": 7, "output_tokens": 9},
    )  # fmt: skip
    written = json.dumps(given_, ensure_ascii=False)
    heard, answer = read(
        begun(input_tokens=7, output_tokens=1),
        block(0, type="thinking", thinking=""),
        *(part(text_part, 0, "thinking") for text_part in cuts(data, thoughts)),
        stop(0),
        block(1),
        *(part(text_part, 1) for text_part in cuts(data, text)),
        stop(1),
        use(2),
        *(part(text_part, 2, "input_json") for text_part in cuts(data, written)),
        stop(2),
        ended(reason, output_tokens=9),
        STOPPED,
    )
    expected = parse_message(whole)
    assert "".join(said for kind, said in heard if kind == "text") == expected.text
    assert ("".join(said for kind, said in heard if kind == "reasoning") or None) == expected.reasoning
    assert (answer.usage, answer.finish, answer.calls, answer.extras) == (
        expected.usage, expected.finish, expected.calls, expected.extras,
    )  # fmt: skip
