"""Request bodies of the Chat Completions API: a query as messages, tools and sampling parameters."""

import hashlib
from typing import Any

from persona_stream.backends.openai import response, tool_calls
from persona_stream.core.content import Image, Part, Tool, ToolChoice, fields_for
from persona_stream.core.query import Query, Turn, all_turns

Message = dict[str, Any]

MAX_USER_CHARS = 64

# Parameters of Anthropic's clients that this API has too; the values of others, such as service_tier, differ.
_COMMON_PARAMETERS = frozenset({
    "temperature", "top_p", "max_tokens", "stop", "user", "parallel_tool_calls", "response_format",
})  # fmt: skip


def forwarded_parameters(query: Query) -> dict[str, Any]:
    """Return the parameters of a query that mean the same to providers with OpenAI's protocols.

    OpenAI rejects ``parallel_tool_calls`` in a request without tools.
    """
    parameters: dict[str, Any] = {
        name: value
        for name, value in query.parameters.items()
        if (query.protocol != "anthropic" or name in _COMMON_PARAMETERS)
        and (query.tools or name != "parallel_tool_calls")
    }
    user = parameters.get("user")
    if isinstance(user, str) and len(user) > MAX_USER_CHARS:
        parameters["user"] = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
    return parameters


def build_request(query: Query, model: str, *, stream: bool = False) -> dict[str, object]:
    """Build the JSON body: the client's sampling parameters, the messages, and the tools."""
    parameters = forwarded_parameters(query)
    if query.protocol != "openai":
        parameters.pop("top_k", None)  # OpenAI rejects it; other providers have it, and their clients send it
    body: dict[str, object] = {**parameters, "model": model, "messages": build_messages(query), "stream": stream}
    if query.tools:
        body["tools"] = [_build_tool(tool) for tool in query.tools]
        if query.tool_choice is not None:
            body["tool_choice"] = _build_tool_choice(query.tool_choice)
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def build_messages(query: Query) -> list[Message]:
    """Build the messages: the system prompt if there is one, the history, the message, and the tool turns.

    Tool results can contain text only, so their images follow as a user message after all results for the same
    assistant message, because nothing may stand between those.
    """
    prompt = query.system_prompt()
    messages: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    images: list[Message] = []
    for turn in all_turns(query):
        if images and turn.role != "tool":
            messages.append({"role": "user", "content": images})
            images = []
        messages.append(_build_message(turn))
        if turn.role == "tool":
            images.extend(_build_part(part) for part in turn.parts if isinstance(part, Image))
    if images:
        messages.append({"role": "user", "content": images})
    return messages


def _build_message(turn: Turn) -> Message:
    own = fields_for(turn.extras, "openai")
    match turn:
        case Turn(role="assistant", calls=calls):
            message: Message = {"role": "assistant", "content": turn.content}
            if calls:
                message["content"] = turn.content or None
                message["tool_calls"] = [tool_calls.build_tool_call(call) for call in calls]
            if turn.reasoning and not (own.keys() & response.REASONING_FIELDS):
                message["reasoning_content"] = turn.reasoning
        case Turn(role="tool", call_id=str(call_id)):
            message = {"role": "tool", "tool_call_id": call_id, "content": result_text(turn)}
        case Turn(role="tool"):  # without a call id, a result can only be sent as text
            return {"role": "user", "content": turn.content}
        case Turn(role="user", parts=parts) if parts:
            message = {"role": "user", "content": [_build_part(part) for part in parts]}
        case _:
            message = {"role": turn.role, "content": turn.content}
    return {**own, **message}


def result_text(turn: Turn) -> str:
    """Return the text of a tool result, in a format that has no field for a failed call."""
    return turn.content or ("The tool failed." if turn.failed else "")


def _build_part(part: Part) -> Message:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def _build_tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema:
        function["parameters"] = dict(tool.schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _build_tool_choice(choice: ToolChoice) -> object:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode
