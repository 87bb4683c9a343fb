"""Tests of the messages between the server and its worker processes."""

from __future__ import annotations

import pickle
import socket
import threading
from collections import OrderedDict
from enum import StrEnum
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream import Answer, Attachment, Query, Tool, ToolCall, ToolChoice, Turn, Usage
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import NO_CONTEXT, Principal, UpstreamCall
from persona_stream.executors.worker.protocol import (
    RECEIVE_BYTES,
    Failure,
    FrameTooLarge,
    Message,
    Notifications,
    Report,
    Result,
    RunQuery,
    Text,
    Upstream,
    decode,
    encode,
    receive_all,
    to_frame,
    to_json_like,
)
from persona_stream.personas.persona import KnowledgeItem, Persona

PERSONA = Persona(
    "ada", "Ada", {"en": "She counts."}, notes=(KnowledgeItem(("x",), {"en": "y"}, "https://example.org"),)
)
QUERY = Query(
    username="ada",
    message="Hi",
    persona=PERSONA,
    parts=("look", Attachment("data:,")),
    history=(Turn("assistant", "", calls=(ToolCall("1", "look", "{}"),)),),
    tools=(Tool("look", None, MappingProxyType({"type": "object"})),),
    tool_choice=ToolChoice("named", "look"),
    parameters=MappingProxyType({"stop": ("a", "b"), "temperature": 0.5}),
    principal=Principal("alice", frozenset({"chat"})),
)
INT64 = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(alphabet=st.characters(codec="utf-8"))


class Colour(StrEnum):
    """String with another representation."""

    RED = "red"


class Name(str):
    """String subclass."""


class Share(float):
    """Float subclass, as numpy has one."""


def raw(value: object) -> object:
    """Return the raw form of an answer after encoding and decoding."""
    message = decode(encode(Result(1, Answer("text", raw=value))))
    assert isinstance(message, Result)
    assert isinstance(message.answer, Answer)
    return message.answer.raw


def test_a_query_arrives_unchanged_without_its_context():
    """The worker binds its own context."""
    message = decode(encode(RunQuery(1, "default", "run", {}, QUERY)))
    assert isinstance(message, RunQuery)
    assert message.query == QUERY
    assert type(message.query.history[0]) is Turn
    assert message.query._context is NO_CONTEXT


@given(TEXT, st.floats(allow_nan=False), INT64)
def test_decoding_inverts_encoding(text: str, fraction: float, number: int):
    """For every character that UTF-8 has, and every integer of 64 bits."""
    call = UpstreamCall(provider="p", model="m", url="u", request={text: [number]}, began_at=fraction, seconds=0.0)
    answer = Answer(
        text, text, Usage(input_tokens=number, output_tokens=1), extras=ProviderFields("openai", {"a": text})
    )
    messages: list[Message] = [
        Notifications(number, (Text(text.encode()), Report(text, fraction), Upstream(call))),
        Result(1, text),
        Result(1, answer),
        Failure(1, "crashed", text),
    ]
    assert [decode(encode(message)) for message in messages] == messages


@given(st.text(alphabet=st.characters(codec=None)))
def test_lone_surrogates_are_replaced(text: str):
    """As in the journal. A part of an answer keeps them, for the other half may follow."""
    message = decode(encode(Result(1, text)))
    assert isinstance(message, Result)
    assert message.answer == "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text) or (
        "\0" in text and message.answer == text.replace("\0", "\ufffd")
    )
    data = text.encode("utf-8", "surrogatepass")
    assert decode(encode(Notifications(1, (Text(data),)))) == Notifications(1, (Text(data),))


def test_integers_of_more_than_64_bits_become_floats():
    """As most JSON decoders return them."""
    assert raw({"large": 2**70, "small": -(2**70), "fits": 2**63}) == {
        "large": float(2**70),
        "small": -float(2**70),
        "fits": 2**63,
    }


def test_subclasses_of_plain_types_become_plain():
    """So no class of the backend is needed in the server."""
    found = raw([Colour.RED, OrderedDict(a=1), True, Name("x"), Share(0.5)])
    assert found == ["red", {"a": 1}, True, "x", 0.5]
    assert [type(each) for each in found] == [str, dict, bool, str, float]


@pytest.mark.parametrize("value", [object(), print, Colour, lambda: 1, pytest])
def test_other_values_are_refused_when_they_are_encoded(value: object):
    """The error names the type."""
    with pytest.raises(TypeError, match="an object of "):
        raw([value])


@pytest.mark.parametrize(
    "payload",
    [
        pickle.dumps(print),
        b"",
        msgspec.msgpack.encode(["Unknown"]),
        msgspec.msgpack.encode(["Result", 3]),
        msgspec.msgpack.encode(["Result", {"text": "x", "usage": {"input_tokens": "y", "output_tokens": 1}}]),
        encode(Result(1, "text"))[:-1],
    ],
)
def test_other_payloads_are_refused_when_they_are_decoded(payload: bytes):
    """Nothing is imported, built or called."""
    with pytest.raises(msgspec.DecodeError):
        decode(payload)


def test_frames_follow_each_other_and_have_a_limit():
    """An end in the middle of a frame is the end of the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(to_frame(b"one") + to_frame(b"") + to_frame(b"three") + to_frame(b"x" * 50))
        payloads = receive_all(ours, 49)
        assert [next(payloads), next(payloads), next(payloads)] == [b"one", b"", b"three"]
        with pytest.raises(FrameTooLarge, match="50 bytes"):
            next(payloads)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(to_frame(b"half of it")[:8])
        assert list(receive_all(ours)) == []


def test_other_work_may_run_after_each_part_of_a_large_payload():
    """The caller decides how often; a payload of 16 MiB would otherwise be read in one go."""
    parts: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frame = to_frame(b"x" * 2_000_000)
        sender = threading.Thread(target=theirs.sendall, args=(frame,))
        sender.start()
        assert len(next(receive_all(ours, 2_000_000, lambda: parts.append(1)))) == 2_000_000
        sender.join()
    assert len(parts) >= 2_000_000 / RECEIVE_BYTES


def test_values_without_a_json_form_are_represented_as_in_the_request_log():
    """A cycle has none."""
    cycle: list[object] = []
    cycle.append(cycle)
    assert to_json_like({"a": (1, b"x"), "b": object}) == {"a": (1, "eA=="), "b": "<class 'object'>"}
    assert to_json_like(cycle) is None
