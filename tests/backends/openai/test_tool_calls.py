"""Tests of tool calls in the forms of various providers; cases with a repository and a number are public reports."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai.tool_calls import ToolCallAssembler, parse_tool_calls
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.content import ToolCall
from tests.backends.fake_provider import cuts


def part(index: object = None, id: object = None, name: object = None, arguments: object = None) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


A, B = ToolCall("a", "look", '{"at":"sky"}'), ToolCall("b", "wait", "{}")


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [
                part(0, "a", "look", ""),
                part(0, arguments='{"at":'),
                part(0, arguments='"sky"}'),
                part(1, "b", "wait", "{}"),
            ],
            [A, B],
            id="as OpenAI has it",
        ),
        pytest.param(
            [part(1, "b", "wait", "{}"), part(0, "a", "look", '{"at":"sky"}')], [A, B], id="the last one first"
        ),
        pytest.param(
            [
                part(0, "a", "look", '{"at":'),
                part(1, "b", "wait", "{"),
                part(0, arguments='"sky"}'),
                part(1, arguments="}"),
            ],
            [A, B],
            id="in turns",
        ),
        pytest.param([part(0, "a", "look", '{"at":"sky"}'), part(0, "b", "wait", "{}")], [A, B], id="always index 0"),
        pytest.param([part(None, "a", "look", '{"at":"sky"}'), part(None, "b", "wait", "{}")], [A, B], id="no index"),
        pytest.param(
            [
                part(None, "a", "look", '{"at":'),
                part(arguments='"sky"}'),
                part(None, "b", "wait"),
                part(arguments="{}"),
            ],
            [A, B],
            id="no index, in parts",
        ),
        pytest.param(
            [part(0, "a", "look", '{"at":'), part(0, "a", "look", '"sky"}')], [A], id="id and name in every part"
        ),
        pytest.param([part(0, "a", "look", {"at": "sky"})], [ToolCall("a", "look", '{"at": "sky"}')], id="an object"),
        pytest.param([part(0, "b", "wait", "")], [B], id="no arguments"),
        pytest.param([part(0, "b", "wait", None), part(0, "", "", None)], [B], id="null arguments"),
        pytest.param([part(7, "b", "wait"), part(2**80, "a", "look", '{"at":"sky"}')], [B, A], id="far indices"),
        pytest.param([part("x", "b", "wait"), part(True), part([], "", "", "")], [B], id="no indices at all"),
        pytest.param([part(0, "b"), part(0, None, "wait")], [B], id="the name later"),
        pytest.param([part(0, "a", "look", '{"at":')], [ToolCall("a", "look", '{"at":')], id="cut"),
    ],
)
def test_parts_of_tool_calls_are_assembled(parts: list[dict[str, Any]], calls: list[ToolCall]) -> None:
    """In any order and with any indexes; the calls are ordered by index."""
    gathered = ToolCallAssembler()
    for each in parts:
        gathered.feed(each)
    assert list(gathered.result()) == calls


def test_a_tool_call_without_an_id_gets_one() -> None:
    """Clients refer to it in the tool result."""
    first, second = parse_tool_calls([part(name="wait"), part(name="wait")])
    assert re.fullmatch("call_[0-9a-f]{24}", first.id)
    assert first.id != second.id


def test_whole_tool_calls_are_not_merged() -> None:
    """Not even if they share ids or indexes; the second one gets another id, since clients answer by it."""
    first, second = parse_tool_calls([part(0, "a", "wait"), part(0, "a", "wait")])
    assert first == ToolCall("a", "wait", "{}")
    assert (second.name, second.arguments) == ("wait", "{}")
    assert second.id != "a"


@pytest.mark.parametrize(
    "nameless", [part(0, "a"), part(0, arguments="{}"), {"id": "a", "type": "custom", "custom": {}}]
)
def test_a_tool_call_without_a_name_is_an_error(nameless: dict[str, Any]) -> None:
    """Dropping it would change the answer."""
    gathered = ToolCallAssembler()
    gathered.feed(part(0, "b", "wait", "{}") | {"index": 9})
    with pytest.raises(ProviderError, match="unreadable"):  # noqa: PT012 - either may find it
        gathered.feed(nameless)
        gathered.result()


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.none() | st.integers(-2, 3) | st.text(max_size=1),
                "id": st.none() | st.sampled_from(["", "a", "b"]) | st.integers(),
                "function": st.none()
                | st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.none() | st.sampled_from(["", "look", "wait"]),
                        "arguments": st.none() | st.text(max_size=3) | st.dictionaries(st.text(max_size=1), st.none()),
                    },
                ),
            },
        ),
        max_size=12,
    )
)
def test_any_parts_are_tool_calls_or_an_error(parts: list[dict[str, Any]]) -> None:
    """The kept text is returned for each part."""
    gathered = ToolCallAssembler()
    kept = [gathered.feed(each) for each in parts]
    try:
        calls = gathered.result()
    except ProviderError:
        return
    assert bool(calls) == any(kept)
    assert all(call.id and call.name and call.arguments for call in calls)


@given(st.data())
def test_tool_calls_do_not_depend_on_how_they_are_split(data: st.DataObject) -> None:
    """Also with the parts of several calls interleaved."""
    calls = [
        ToolCall(
            f"id{at}", f"tool{at}", json.dumps(data.draw(st.dictionaries(st.text(max_size=3), st.text(max_size=9))))
        )
        for at in range(data.draw(st.integers(1, 4)))
    ]
    queues = []
    for at, call in enumerate(calls):
        pieces = cuts(data, call.arguments)
        queues.append([part(at, call.id, call.name, ""), *(part(at, arguments=piece) for piece in pieces)])
    gathered = ToolCallAssembler()
    while queues := [queue for queue in queues if queue]:
        gathered.feed(data.draw(st.sampled_from(queues)).pop(0))
    assert list(gathered.result()) == calls


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        pytest.param(
            [part(0, "a1", "w", ""), part(0, "a2", None, '{"x":'), part(0, "a3", None, "1}")],
            [("w", '{"x":1}')],
            id="vllm-project/vllm #23522: a fresh id in every delta",
        ),
        pytest.param(
            [part(0, "x", "w", ""), part(0, "y", "", '{"x":'), part(0, "y", "", "1}"), part(0, "y", "", "")],
            [("w", '{"x":1}')],
            id="poolsideai/pool #9: the id changes after the first delta",
        ),
        pytest.param(
            [part(0, "a1", "w", ""), part(0, "a2", "w", '{"x":'), part(0, "a3", "w", "1}")],
            [("w", '{"x":1}')],
            id="vllm-project/vllm #23522: with the name again",
        ),
        pytest.param(
            [part(0, "", "w", '{"x":1}'), part(0, "", "w", '{"x":2}')],
            [("w", '{"x":1}'), ("w", '{"x":2}')],
            id="NousResearch/hermes-agent #62940: parallel calls at index 0 without ids",
        ),
        pytest.param(
            [
                part(0, None, "w", '{"c":"北京"}'),
                part(0, None, "w", '{"c":"上海"}'),
                part(0, None, "v", '{"c":"广州"}'),
            ],
            [("w", '{"c":"北京"}'), ("w", '{"c":"上海"}'), ("v", '{"c":"广州"}')],
            id="su-kaka/gcli2api #406: three parallel calls at index 0",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":1}'), part(0, "b", "w", '{"x":2}')],
            [("w", '{"x":1}'), ("w", '{"x":2}')],
            id="vercel/ai #14277: Ollama's calls at index 0, with ids",
        ),
        pytest.param(
            [part(None, "a", "w", '{"x":1}'), part(None, "b", "w", '{"x":2}')],
            [("w", '{"x":1}'), ("w", '{"x":2}')],
            id="noho/dayu-agent #82: parallel calls in chunks of their own, without an index",
        ),
        pytest.param(
            [part(0, None, "w", ""), part(0, None, None, '{"x":'), part(0, None, None, "1}")],
            [("w", '{"x":1}')],
            id="continuedev/continue #13225: never an id",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":1}'), part(0, "b", "v", ""), part(1, None, None, '{"x":2}')],
            [("w", '{"x":1}'), ("v", '{"x":2}')],
            id="agno-agi/agno #8879: the second call begins at index 0 and goes on at index 1",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":'), part(1, "a", None, "1}")],
            [("w", '{"x":1}')],
            id="agno-agi/agno #8880: a known id under another index",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":1}'), part(0, "a", "w", '{"x":1}')],
            [("w", '{"x":1}')],
            id="apache/maka #1995: the same call once more",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":1}'), part(1, "a", "w", '{"x":2}')],
            [("w", '{"x":1}'), ("w", '{"x":2}')],
            id="apache/maka #1995: one id for two calls",
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":1}{"x":2}')],
            [("w", '{"x":1}'), ("w", '{"x":2}')],
            id="mcowger/plexus #691: arguments of several calls glued together",
        ),
        pytest.param(
            [part("0", "a", "w", '{"x":'), part("0", None, None, "1}")],
            [("w", '{"x":1}')],
            id="an index that is a text",
        ),
        pytest.param(
            [{"id": "a", "name": "w", "arguments": {"x": 1}}], [("w", '{"x": 1}')], id="a call without its function"
        ),
        pytest.param(
            [part(0, "a", "w", '{"x":'), part(0, "a", None, '{"x":1}')],
            [("w", '{"x":1}')],
            id="arguments from their beginning in each delta",
        ),
        pytest.param(
            [part(0, "a", "w", "{}"), part(0, None, None, '{"x":'), part(0, None, None, "1}")],
            [("w", '{"x":1}')],
            id="BerriAI/litellm #4537, envoyproxy/ai-gateway #1465: an empty object before the arguments",
        ),
        pytest.param(
            [part(0, "a", "w", "{}"), part(0, "a", "w", '{"x":1}')],
            [("w", '{"x":1}')],
            id="BerriAI/litellm #4537: with id and name again",
        ),
        pytest.param(
            [part(0, "a", "w", '{}{"symbol": "TSLA"}')],
            [("w", '{"symbol": "TSLA"}')],
            id="Wei-Shaw/sub2api #6336: the empty object in a whole answer",
        ),
        pytest.param(
            [part(0, "a", "w", '"{\\"x\\": '), part(0, None, None, '1}"')],
            [("w", '{"x": 1}')],
            id="livekit/agents PR 5411, quarkiverse/quarkus-langchain4j PR 2642: encoded twice",
        ),
        pytest.param(
            [part(0, "a", "w", "null")], [("w", "{}")], id="supermemoryai/supermemory PR 1612: null as the arguments"
        ),
        pytest.param(
            [
                part(0, "a", "w", '{"x"'),
                part(1, "b", "v", '{"t"'),
                part(0, "b", None, ":2}"),
                part(0, "a", None, ":1}"),
            ],
            [("w", '{"x":1}'), ("v", '{"t":2}')],
            id="oracle/langchain-oracle PR 254: an id announced again at the place of another call",
        ),
    ],
)
def test_every_reported_form_of_streamed_tool_calls_is_assembled(
    parts: list[dict[str, Any]], calls: list[tuple[str, str]]
) -> None:
    """No call is lost, none is glued to another, and each has an id of its own."""
    assembler = ToolCallAssembler()
    for each in parts:
        assembler.feed(each)
    found = assembler.result()
    assert [(call.name, call.arguments) for call in found] == calls
    assert len({call.id for call in found}) == len(calls)


def test_glued_arguments_of_different_functions_are_an_error() -> None:
    """The parts do not tell which function each belongs to (su-kaka/gcli2api #406)."""
    assembler = ToolCallAssembler()
    assembler.feed(part(0, "a", "w", '{"x":1}{"city":"Wien"}'))
    with pytest.raises(ProviderError, match="unreadable"):
        assembler.result()
