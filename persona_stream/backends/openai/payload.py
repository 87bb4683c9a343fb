"""A query as the body of a request."""

from __future__ import annotations

from persona_stream.backends.openai.messages import messages_of
from persona_stream.core.content import Tool, ToolChoice
from persona_stream.core.query import Query


def body_of(query: Query, model: str, *, stream: bool = False) -> dict[str, object]:
    """Give the JSON object to send: how to sample as the client has it, the messages, and the tools."""
    body: dict[str, object] = {
        **query.parameters,
        "model": model,
        "messages": messages_of(query),
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
