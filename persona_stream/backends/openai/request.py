"""A query as the body of a request.

Turns as OpenAI's messages.
"""

from __future__ import annotations

from typing import Any

from persona_stream.core.content import Image, Part, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Query, Turn

Message = dict[str, Any]


def build_messages(query: Query) -> list[Message]:
    """Give the messages: the system prompt if there is one, history, message, and what was said since.

    Results of tools can hold text alone, so pictures in them follow as a message of the user: behind all results of
    the same answer, because nothing may stand between those.
    """
    prompt = query.system_prompt()
    messages: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    pictures: list[Message] = []
    for turn in (*query.history, Turn("user", query.message, query.parts), *query.tool_turns):
        if pictures and turn.role != "tool":
            messages.append({"role": "user", "content": pictures})
            pictures = []
        messages.append(_message(turn))
        if turn.role == "tool":
            pictures.extend(_part(part) for part in turn.parts if isinstance(part, Image))
    if pictures:
        messages.append({"role": "user", "content": pictures})
    return messages


def _message(turn: Turn) -> Message:
    match turn:
        case Turn(role="assistant", calls=calls) if calls:
            return {"role": "assistant", "content": turn.content or None, "tool_calls": [_call(call) for call in calls]}
        case Turn(role="tool", call_id=str(call_id)):
            # Whether it failed has no place of its own here.
            text = turn.content or ("The tool failed." if turn.failed else "")
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case Turn(role="tool"):  # of nobody knows which call: what it says is still said
            return {"role": "user", "content": turn.content}
        case Turn(role="user", parts=parts) if parts:
            return {"role": "user", "content": [_part(part) for part in parts]}
        case _:
            return {"role": turn.role, "content": turn.content}


def _part(part: Part) -> Message:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def _call(call: ToolCall) -> Message:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def build_request(query: Query, model: str, *, stream: bool = False) -> dict[str, object]:
    """Give the JSON object to send: how to sample as the client has it, the messages, and the tools."""
    body: dict[str, object] = {
        **query.parameters,
        "model": model,
        "messages": build_messages(query),
        "stream": stream,
    }
    body.pop("top_k", None)  # Anthropic's clients send it, and OpenAI refuses whatever it does not know
    if query.tools:
        body["tools"] = [_tool(tool) for tool in query.tools]
        if query.tool_choice is not None:
            body["tool_choice"] = _choice(query.tool_choice)
    else:
        # OpenAI refuses it where there is nothing to call.
        body.pop("parallel_tool_calls", None)
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def _tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema:
        function["parameters"] = dict(tool.schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> object:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode
