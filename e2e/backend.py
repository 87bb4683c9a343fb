"""Backend of the test servers; the message selects its behaviour."""

from __future__ import annotations

import json
import time

from persona_stream import Answer, BackendError, Query
from persona_stream.core.content import ToolCall

TEXT = "你好！The answer is 42 👩‍👩‍👧‍👦. See https://example.org/a?b=1.5, e.g. 3.14.\n\nAsk again."


def ask(query: Query) -> Answer:
    """Stay silent for the seconds named in the message, or fail on request."""
    match query.message:
        case "fail":
            raise BackendError("The library is closed today.")
        case "busy":
            raise BackendError("The library is full.", code="rate_limited", retry_after=1)
        case "crowded":
            raise BackendError("The question is too long.", code="context_length_exceeded")
    time.sleep(float(query.message))
    return Answer(TEXT, reasoning="Six times seven.")


def use_tool(query: Query) -> Answer:
    """Do the same, but call the client's first tool once, and answer with its result."""
    results = [turn.content for turn in query.since if turn.role == "tool"]
    if results:
        return Answer(f"The tool says: {results[-1]}")
    answer = ask(query)
    if not query.tools:
        return answer
    return Answer("Let me look.", finish="tools", calls=(ToolCall("call_1", query.tools[0].name, '{"city": "Wien"}'),))


use_tool.abilities = frozenset({"tools", "json_schema"})  # type: ignore[attr-defined]  # read by the server


def coder(query: Query) -> Answer:
    """Follow a prompt of Codex: ``Wait <n> seconds``, or ``Run <command>`` with its shell."""
    results = [turn.content for turn in query.since if turn.role == "tool"]
    if results:
        return Answer(f"The shell says: {results[-1]}")
    match query.message.split():
        case ["Wait", seconds, "seconds"]:
            time.sleep(float(seconds))
            return Answer(TEXT, reasoning="Six times seven.")
        case ["Run", *command]:
            arguments = json.dumps({"cmd": " ".join(command)})
            return Answer("Let me run it.", finish="tools", calls=(ToolCall("call_1", "exec_command", arguments),))
    raise BackendError(f"unexpected prompt: {query.message}")


coder.abilities = frozenset({"tools", "images"})  # type: ignore[attr-defined]  # read by the server
