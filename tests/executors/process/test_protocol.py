"""What passes between server and worker: our own types, and nothing that could do something."""

from __future__ import annotations

import pickle
import socket
from collections import OrderedDict
from enum import StrEnum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream import Answer, Image, Query, Tool, ToolCall, ToolChoice, Turn, Usage
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Principal, UpstreamCall
from persona_stream.executors.process.protocol import (
    Crashed,
    Notifications,
    Oversized,
    Report,
    Result,
    RunQuery,
    Text,
    Unsendable,
    decode,
    encode,
    framed,
    of_query,
    plain,
    receive,
)
from persona_stream.personas.persona import KnowledgeItem, Persona

PERSONA = Persona(
    "ada", "Ada", {"en": "She counts."}, notes=(KnowledgeItem(("x",), {"en": "y"}, "https://example.org"),)
)
QUERY = Query(
    username="ada",
    message="Hi",
    persona=PERSONA,
    parts=("look", Image("data:,")),
    history=(Turn("assistant", "", calls=(ToolCall("1", "look", "{}"),)),),
    tools=(Tool("look", None, MappingProxyType({"type": "object"})),),
    tool_choice=ToolChoice("named", "look"),
    parameters=MappingProxyType({"stop": ("a", "b"), "temperature": 0.5}),
    principal=Principal("alice", frozenset({"chat"})),
)


class Colour(StrEnum):
    """Be a text that says something else when it is made one."""

    RED = "red"


def back(message: object) -> object:
    """Write a message, and read it."""
    return decode(encode(message))


def test_a_query_arrives_as_it_was():
    """But for what lives here: that is made anew over there."""
    asked = back(RunQuery(1, "default", "run", of_query(QUERY)))
    assert isinstance(asked, RunQuery)
    assert Query(**asked.query) == QUERY


@given(st.text(alphabet=st.characters(codec=None)), st.floats(allow_nan=False), st.integers())
def test_what_comes_back_is_what_was_said(text: str, fraction: float, number: int):
    """Every character, halves of pairs too."""
    upstream = UpstreamCall(provider="p", model="m", url="u", request={text: [number]}, began_at=fraction, seconds=0.0)
    answer = Answer(
        text, text, Usage(input_tokens=number, output_tokens=1), extras=ProviderFields("openai", {"a": text})
    )
    for message in (
        Notifications(number, (Text(text), Report(text, fraction), upstream)),
        Result(text),
        Result(answer),
        Crashed(text, for_good=True),
    ):
        assert back(message) == message


def test_what_is_a_kind_of_something_plain_becomes_that():
    """So no class of a stranger's is needed here."""
    found = back([Colour.RED, OrderedDict(a=1), True])
    assert found == ["red", {"a": 1}, True]
    assert [type(each) for each in found] == [str, dict, bool]


@pytest.mark.parametrize("value", [object(), print, Colour, lambda: 1, pytest])
def test_what_is_neither_ours_nor_plain_is_refused(value: object):
    """By who writes it."""
    with pytest.raises(Unsendable):
        encode([value])


@pytest.mark.parametrize("value", [print, OrderedDict(), pickle.Unpickler])
def test_what_was_written_by_others_is_refused_too(value: object):
    """By who reads it: nothing is imported, built or called."""
    with pytest.raises(pickle.UnpicklingError, match="does not belong into a frame"):
        decode(pickle.dumps(value))


def test_frames_come_one_after_the_other_and_have_a_limit():
    """An end in the middle of one is an end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(framed(b"one") + framed(b"") + framed(b"three") + framed(b"x" * 50))
        assert [receive(ours, 50), receive(ours, 0), receive(ours, 5)] == [b"one", b"", b"three"]
        with pytest.raises(Oversized, match="50 bytes"):
            receive(ours, 49)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(framed(b"half of it")[:8])
        assert receive(ours) is None


def test_what_json_cannot_say_is_said_as_in_the_request_log():
    """And a circle is nothing."""
    circle: list[object] = []
    circle.append(circle)
    assert plain({"a": (1, b"x"), "b": object}) == {"a": (1, "eA=="), "b": "<class 'object'>"}
    assert plain(circle) is None
