"""Request bodies of the Responses API: a query as instructions, input items and parameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from persona_stream.backends.openai.request import file_name, forwarded_parameters, inline_text, result_text
from persona_stream.backends.openai_responses.response import REASONING_ITEMS
from persona_stream.backends.providers import responses
from persona_stream.core.content import Attachment, Part, Tool, ToolChoice, fields_for
from persona_stream.core.query import Query, Turn, all_turns

Item = dict[str, Any]

# Parameters that this API has under the same name; it has no stop sequences and no seed.
_SAME_NAMES = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "parallel_tool_calls", "metadata",
    "service_tier", "safety_identifier", "prompt_cache_key",
)  # fmt: skip


def build_request(query: Query, model: str, *, stream: bool = False) -> dict[str, object]:
    """Build the JSON body. The provider stores nothing: each request brings its whole conversation."""
    parameters = forwarded_parameters(query)
    body: dict[str, object] = {name: parameters[name] for name in _SAME_NAMES if name in parameters}
    body |= {"model": model, "input": build_input(query), "stream": stream, "store": False}
    # Requests have it back, as reasoning models expect; the field is left out for models that reject it.
    body["include"] = ["reasoning.encrypted_content"]
    if prompt := query.system_prompt():
        body["instructions"] = prompt
    if limit := parameters.get("max_completion_tokens") or parameters.get("max_tokens"):
        body["max_output_tokens"] = limit
    if effort := parameters.get("reasoning_effort"):
        body["reasoning"] = {"effort": effort, "summary": "auto"}
    if text := _build_text(parameters):
        body["text"] = text
    if query.tools:
        body["tools"] = [_build_tool(tool) for tool in query.tools]
        if query.tool_choice is not None:
            body["tool_choice"] = _build_tool_choice(query.tool_choice)
    return body


def _build_text(parameters: Mapping[str, Any]) -> dict[str, object]:
    text: dict[str, object] = {}
    match parameters.get("response_format"):
        case {"type": "json_schema", "json_schema": dict() as schema}:
            text["format"] = {"type": "json_schema", **schema}
        case dict() as other:
            text["format"] = other
    if verbosity := parameters.get("verbosity"):
        text["verbosity"] = verbosity
    return text


def build_input(query: Query) -> list[Item]:
    """Build the input items: the history, the message, and the tool turns."""
    return [item for turn in all_turns(query) for item in _build_items(turn)]


def _build_items(turn: Turn) -> Iterator[Item]:
    match turn:
        case Turn(role="assistant"):
            yield from _build_answer(turn)
        case Turn(role="tool", call_id=str(call_id), parts=parts):
            output = [_build_part(part) for part in parts] if parts else result_text(turn)
            yield {"type": "function_call_output", "call_id": call_id, "output": output}
        case Turn(role="tool"):  # without a call id, a result can only be sent as text
            yield {"role": "user", "content": turn.content}
        case Turn(role=role, parts=parts):
            yield {"role": role, "content": [_build_part(part) for part in parts] if parts else turn.content}


def _build_answer(turn: Turn) -> Sequence[Item]:
    """Build the items of an answer, with the reasoning items in the places that they had."""
    items: list[Item] = [{"role": "assistant", "content": turn.content}] if turn.content else []
    items += [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": responses.valid_arguments(call.arguments),
        }
        for call in turn.calls
    ]
    try:
        reasoning = msgspec.convert(fields_for(turn.extras, "openai").get(REASONING_ITEMS, []), list[tuple[int, Item]])
    except msgspec.ValidationError:
        return items  # the client changed them
    for index, (place, item) in enumerate(reasoning):
        if item.get("type") == "reasoning":
            items.insert(place + index, item)
    return items


def _build_part(part: Part) -> Item:
    match inline_text(part):
        case str(text):
            return {"type": "input_text", "text": text}
        case Attachment(type="image", url=url, detail=detail):
            return {"type": "input_image", "image_url": url} | ({} if detail is None else {"detail": detail})
        case Attachment(url=url, encoded=""):
            return {"type": "input_file", "file_url": url}
        case Attachment(url=url) as file:
            return {"type": "input_file", "filename": file_name(file), "file_data": url}


def _build_tool(tool: Tool) -> dict[str, object]:
    # Without `strict`, the API would require schemas of a stricter form than that of chat completions.
    built: dict[str, object] = {"type": "function", "name": tool.name, "strict": bool(tool.strict)}
    if tool.description is not None:
        built["description"] = tool.description
    built["parameters"] = dict(tool.schema) or {"type": "object", "properties": {}}
    return built


def _build_tool_choice(choice: ToolChoice) -> object:
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode
