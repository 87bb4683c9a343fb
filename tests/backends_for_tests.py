"""Backends for the tests: functions with different behaviour, each a ``process_query``."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import socket
import time
from typing import TYPE_CHECKING

import msgspec
import requests
from greenlet import greenlet

from persona_stream import Answer, BackendError, Query, ToolCall, Usage

if TYPE_CHECKING:
    from flask import Flask

ENGLISH = (
    "Decentralization is not a goal in itself. It is a means: no single party can change the rules alone, and that"
    " is worth something, e.g. when 3.14 is round! See https://example.org/a,b.html for more. "
)
CHINESE = "去中心化不是目的，而是手段。没有任何一方可以单独修改规则！这很有价值……你觉得呢？👩‍👩‍👧 "


def quick(message: str) -> str:
    """Answer at once."""
    return f"You said: {message}"


def slow(message: str) -> str:
    """Answer after the number of seconds in the message."""
    time.sleep(float(message))
    return ENGLISH + CHINESE


def reporting(query: Query) -> str:
    """Report progress twice, a second apart, and return after the number of seconds in the message."""
    query.report("Reading page 2 of 8", 0.25)
    time.sleep(1.0)
    query.report("Reading page 3 of 8", 0.37)
    time.sleep(float(query.message) - 1.0)
    return "Read."


def cooperating(query: Query) -> str:
    """Sleep for the number of seconds in the message, and return early when cancelled."""
    return "Nobody waits." if query.cancelled.wait(float(query.message)) else "Slept well."


def calling(message: str) -> Answer:
    """Return the message, and two tool calls."""
    calls = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "clock", "{}"))
    return Answer(message, finish="tools", calls=calls)


def echo(query: Query) -> Answer:
    """Return the message, as an answer with all fields."""
    usage = Usage(input_tokens=len(query.message), output_tokens=len(query.message))
    return Answer(query.message, reasoning="Let me repeat that.", usage=usage)


def showing(query: Query) -> str:
    """Return the fields of the query."""
    history = [(turn.role, turn.content) for turn in query.history]
    return json.dumps({"message": query.message, "history": history, "parameters": dict(query.parameters)})


def recorded(query: Query) -> str:
    """Send what the query contains to an address of the environment."""
    fields = {
        "username": query.username,
        "message": query.message,
        "prompt": query.system_prompt(),
        "history": [turn.content for turn in query.history],
        "parameters": dict(query.parameters),
    }
    requests.post(os.environ["RECORDER"], json=fields, timeout=30)
    return "Forty-two."


def failing(message: str) -> object:
    """Fail in the way that the message names."""
    match message:
        case "deliberate":
            raise BackendError("The library is closed today.")
        case "busy":
            raise BackendError("The library is full.", code="rate_limited", retry_after=3)
        case "exception":
            raise ValueError("a secret detail")
        case "exit":
            raise SystemExit(7)
        case "nothing":
            return None
        case "empty":
            return ""
        case "number":
            return 42
        case "large":
            return "x" * 2_000_000
        case "huge":
            return "0123456789" * 1_200_000
        case "surrogate":
            return "half \ud83d a pair, \x00 NUL, \u2028 line, \u0085 next"
        case _:
            return message


def stubborn(message: str) -> str:
    """Ignore kills for the number of seconds in the message."""
    until = time.monotonic() + float(message)
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue
    return "I am still here."


def spinning(message: str) -> str:
    """Compute for the number of seconds in the message, blocking the event loop."""
    until = time.monotonic() + float(message)
    while time.monotonic() < until:
        sum(range(1000))
    return "Computed."


def crashing(message: str) -> str:
    """Crash the process with an invalid memory access."""
    return ctypes.string_at(0).decode()


def upstream(message: str) -> str:
    """Request a server that never answers, at the address in the message."""
    host, _, port = message.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        return connection.recv(100).decode() or "It hung up."


def census(message: str) -> str:
    """Return the number of living greenlets in this process."""
    return str(sum(1 for each in gc.get_objects() if isinstance(each, greenlet) and not each.dead))


async def awaiting(message: str) -> str:
    """Answer after the number of seconds in the message, on an event loop."""
    import asyncio

    await asyncio.sleep(float(message))
    return await asyncio.to_thread(lambda: "From the event loop.")


class House:
    """Object with a method as a backend."""

    def answer(self, *, message: str, username: str, locale: str) -> str:
        """Return the object that was requested by name."""
        return f"{username}/{locale}: {message}"


house = House()


def chosen(query: Query) -> object:
    """Answer with the function that is named like the persona, so that one server serves many tests."""
    named = (quick, slow, failing, stubborn, spinning, crashing, upstream, census, calling)
    function = {function.__name__: function for function in named}.get(query.username)
    if function is not None:
        return function(query.message)
    return {"reporting": reporting, "showing": showing, "cooperating": cooperating}.get(query.username, echo)(query)


def served() -> Flask:
    """Create the application as a user of another WSGI server would."""
    from persona_stream import create_app

    return create_app(process_query=chosen)


def able(query: Query) -> Answer:
    """Use the capability that the message names."""
    verb, _, rest = query.message.partition(" ")
    match verb:
        case "call":
            return Answer(rest, finish="tools", calls=(ToolCall("call_1", query.tools[0].name, '{"city":"Wien"}'),))
        case "show":
            named = {name: getattr(query, name) for name in ("parts", "since", "tools", "tool_choice")}
            return Answer(msgspec.json.encode({**named, "parameters": dict(query.parameters)}).decode())
        case "send":
            query.send_reasoning("Hm.")
            for word in rest.split():
                query.send(word + " ")
                time.sleep(0.2)  # as a model does, between two words
            return Answer("", finish="length")
        case "break":
            query.send(rest)
            raise BackendError("It broke.")
        case "flood":
            while True:
                query.send("x" * 10_000)
                time.sleep(0)  # let others run, and be killed
        case "wait":
            time.sleep(float(rest))  # the duration in the message
            return Answer("Waited.")
        case _:
            time.sleep(float(rest or 0))  # the same
            raise BackendError("The library is closed today.")


able.abilities = frozenset({"tools", "images", "prefill", "response_format"})  # type: ignore[attr-defined]  # takes any


def compliant(query: Query) -> Answer:
    """Answer the questions of the compliance suite of Open Responses."""
    if query.tools:
        arguments = '{"location":"San Francisco, CA"}'
        return Answer("", finish="tools", calls=(ToolCall("call_1", query.tools[0].name, arguments),))
    if query.message == "What is my name?":
        return Answer(f"Your name is {query.history[0].content.split()[-1]}")
    return Answer(f"A heart in {len(query.parts)} parts." if query.parts else "Hello there, friend.", reasoning="Hm.")


compliant.abilities = frozenset({"tools", "images"})  # type: ignore[attr-defined]  # as above
