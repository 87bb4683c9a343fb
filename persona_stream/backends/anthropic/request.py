"""A query as the body of a request.

Turns as Anthropic's messages.

Its rules, which other dialects do not have: instructions stand apart; user and assistant take turns, and the user
begins; results of tools are the user's, and stand before all else in their message; no text is blank, and an answer
that is begun does not end with white space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from persona_stream.backends.anthropic.response import parse_tool_input
from persona_stream.core.content import Image, Part, Tool, ToolCall
from persona_stream.core.query import Query, Turn

Block = dict[str, Any]

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")


def build_system(query: Query) -> str:
    """Give the instructions: the system prompt, and those that stand among the turns."""
    turns = (*query.history, *query.tool_turns)
    said = (query.system_prompt(), *(turn.content for turn in turns if turn.role == "system"))
    return "\n\n".join(text for text in said if text.strip())


def build_messages(query: Query) -> list[Block]:
    """Give the messages: history, message, and what was said since."""
    merged: list[tuple[str, list[Block]]] = []
    for turn in (*query.history, Turn("user", query.message, query.parts), *query.tool_turns):
        role: Literal["user", "assistant"] = "assistant" if turn.role == "assistant" else "user"
        if blocks := _blocks(turn):
            if merged and merged[-1][0] == role:
                merged[-1][1].extend(blocks)
            else:
                merged.append((role, blocks))
    if merged and merged[0][0] == "assistant":
        merged.insert(0, ("user", [_text("…")]))
    if merged and merged[-1][0] == "assistant" and (begun := merged[-1][1][-1])["type"] == "text":
        begun["text"] = begun["text"].rstrip()
    return [{"role": role, "content": _content(blocks)} for role, blocks in merged]


def _content(blocks: list[Block]) -> str | list[Block]:
    match blocks:
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _blocks(turn: Turn) -> list[Block]:
    match turn:
        case Turn(role="system"):
            return []
        case Turn(role="tool", call_id=str(call_id)):
            return [_result(turn, call_id)]
        case _:
            return [*_parts(turn), *(_call(call) for call in turn.calls)]


def _parts(turn: Turn) -> list[Block]:
    parts = turn.parts or (turn.content,)
    return [_part(part) for part in parts if not isinstance(part, str) or part.strip()]


def _part(part: Part) -> Block:
    return _image(part) if isinstance(part, Image) else _text(part)


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _image(image: Image) -> Block:
    if not image.url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    kind, _, data = image.url.removeprefix("data:").partition(";base64,")
    media_type = "image/jpeg" if kind == "image/jpg" else kind
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _call(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": parse_tool_input(call.arguments)}


def _result(turn: Turn, call_id: str) -> Block:
    blocks = _parts(turn)
    if turn.failed and not blocks:
        blocks = [_text("The tool failed.")]
    result: Block = {"type": "tool_result", "tool_use_id": _id(call_id)}
    if blocks:
        result["content"] = _content(blocks)
    return result | {"is_error": True} if turn.failed else result


def _id(call_id: str) -> str:
    """Give an id that Anthropic takes; those of others may have dots or colons."""
    return _NO_ID.sub("_", call_id)


_AS_GIVEN = ("temperature", "top_p", "top_k")
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def build_request(query: Query, model: str, max_tokens: int, *, stream: bool = False) -> dict[str, object]:
    """Give the JSON object to send.

    What this dialect has no word for is left out: seeds, penalties, how much to think, and whether a tool's arguments
    must keep to their schema, which not every provider of this dialect knows.
    """
    given: Mapping[str, Any] = query.parameters
    body: dict[str, object] = {
        "model": model,
        "max_tokens": given.get("max_completion_tokens") or given.get("max_tokens") or max_tokens,
        "messages": build_messages(query),
        "stream": stream,
    }
    if system := build_system(query):
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
