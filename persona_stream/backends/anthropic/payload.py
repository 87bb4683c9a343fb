"""A query as the body of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persona_stream.backends.anthropic.messages import messages_of, system_of
from persona_stream.core.content import Tool
from persona_stream.core.query import Query

_AS_GIVEN = ("temperature", "top_p", "top_k")
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def body_of(query: Query, model: str, max_tokens: int, *, stream: bool = False) -> dict[str, object]:
    """Give the JSON object to send.

    What this dialect has no word for is left out: seeds, penalties, how much to think, and whether a tool's arguments
    must keep to their schema, which not every provider of this dialect knows.
    """
    given: Mapping[str, Any] = query.parameters
    body: dict[str, object] = {
        "model": model,
        "max_tokens": given.get("max_completion_tokens") or given.get("max_tokens") or max_tokens,
        "messages": messages_of(query),
        "stream": stream,
    }
    if system := system_of(query):
        body["system"] = system
    body |= {name: given[name] for name in _AS_GIVEN if name in given}
    if stops := _stops(given.get("stop")):
        body["stop_sequences"] = stops
    match given.get("response_format"):
        case {"json_schema": {"schema": dict() as schema}}:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if "user" in given:
        body["metadata"] = {"user_id": given["user"]}
    if query.tools:
        body["tools"] = [_tool(tool) for tool in query.tools]
        if choice := _choice(query):
            body["tool_choice"] = choice
    return body


def _stops(given: object) -> list[str]:
    stops = [given] if isinstance(given, str) else given if isinstance(given, tuple | list) else []
    # One of white space alone makes Anthropic refuse the request.
    return [stop for stop in stops if stop.strip()]


def _tool(tool: Tool) -> dict[str, object]:
    described = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **described, "input_schema": {"type": "object", **tool.schema}}


def _choice(query: Query) -> dict[str, object]:
    alone = query.parameters.get("parallel_tool_calls") is False
    if query.tool_choice is None and not alone:
        return {}
    mode = "auto" if query.tool_choice is None else query.tool_choice.mode
    choice: dict[str, object] = {"type": _CHOICES[mode]}
    if query.tool_choice is not None and query.tool_choice.name is not None:
        choice["name"] = query.tool_choice.name
    if alone and mode != "none":
        choice["disable_parallel_tool_use"] = True
    return choice
