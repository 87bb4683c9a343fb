"""Calls of tools, in every way that providers cut them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai.response import Calls, calls_of
from persona_stream.backends.providers.errors import Trouble
from persona_stream.core.content import ToolCall
from tests.backends.stand_in import cuts


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
def test_parts_come_together(parts: list[dict[str, Any]], calls: list[ToolCall]) -> None:
    """Whatever the order and the indices, each call is whole, and stands where its index says."""
    gathered = Calls()
    for each in parts:
        gathered.take(each)
    assert list(gathered.whole()) == calls


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    """Clients say by it what a result belongs to."""
    first, second = calls_of([part(name="wait"), part(name="wait")])
    assert re.fullmatch("call_[0-9a-f]{24}", first.id)
    assert first.id != second.id


def test_whole_calls_stay_apart() -> None:
    """Whatever they share."""
    assert calls_of([part(0, "a", "wait"), part(0, "a", "wait")]) == (ToolCall("a", "wait", "{}"),) * 2


@pytest.mark.parametrize(
    "nameless", [part(0, "a"), part(0, arguments="{}"), {"id": "a", "type": "custom", "custom": {}}]
)
def test_a_call_of_nothing_cannot_be_made(nameless: dict[str, Any]) -> None:
    """Without the call the answer would not be what the model said, so there is none."""
    gathered = Calls()
    gathered.take(part(0, "b", "wait") | {"index": 9})
    gathered.take(nameless)
    with pytest.raises(Trouble, match="unreadable"):
        gathered.whole()


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
def test_no_parts_break_it(parts: list[dict[str, Any]]) -> None:
    """Any parts at all are calls that can be made, or a trouble; and what is kept is said."""
    gathered = Calls()
    kept = [gathered.take(each) for each in parts]
    try:
        calls = gathered.whole()
    except Trouble:
        return
    assert bool(calls) == any(kept)
    assert all(call.id and call.name and call.arguments for call in calls)


@given(st.data())
def test_calls_survive_any_cutting(data: st.DataObject) -> None:
    """However arguments are cut, and however the parts of several calls are mixed, nothing is lost."""
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
    gathered = Calls()
    while queues := [queue for queue in queues if queue]:
        gathered.take(data.draw(st.sampled_from(queues)).pop(0))
    assert list(gathered.whole()) == calls
