"""Request bodies of the Messages API: a query as a system prompt, messages, tools and sampling parameters.

The API has rules that others do not have: the system prompt is a field of its own; user and assistant messages
alternate, and the first one is the user's; tool results belong to a user message, before its other content; no text is
blank, and the beginning of an answer (prefill) does not end with white space.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from persona_stream.backends.providers import responses
from persona_stream.core.content import Attachment, Part, Tool, ToolCall, fields_for
from persona_stream.core.query import Query, Turn, all_turns

Block = dict[str, Any]

_INVALID_ID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
MAX_TEMPERATURE = 1.0  # OpenAI's scale ends at 2
MAX_USER_ID_CHARS = 256
_SAMPLING_PARAMETERS = ("temperature", "top_p", "top_k")
_TOOL_CHOICE_TYPES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def build_request(query: Query, model: str, max_tokens: int, *, stream: bool = False) -> dict[str, object]:
    """Build the JSON body.

    Parameters that the API does not have are left out: seeds, penalties, reasoning effort, and strict tools, which not
    every provider with this API supports.
    """
    parameters: Mapping[str, Any] = query.parameters
    body: dict[str, object] = {
        "model": model,
        "max_tokens": parameters.get("max_completion_tokens") or parameters.get("max_tokens") or max_tokens,
        "messages": build_messages(query),
        "stream": stream,
    }
    if system := build_system(query):
        body["system"] = system
    body |= _build_sampling(query)
    if stop_sequences := _build_stop_sequences(parameters.get("stop")):
        body["stop_sequences"] = stop_sequences
    output: dict[str, object] = {}
    match parameters.get("response_format"):
        case {"json_schema": {"schema": dict() as schema}}:
            output["format"] = {"type": "json_schema", "schema": schema}
    if query.protocol == "anthropic":
        body |= {name: parameters[name] for name in ("thinking", "service_tier") if name in parameters}
        output |= {name: parameters[name] for name in ("effort",) if name in parameters}
    if output:
        body["output_config"] = output
    if isinstance(user := parameters.get("user"), str):
        body["metadata"] = {"user_id": _valid_user_id(user)}
    if query.tools:
        body["tools"] = [_build_tool(tool) for tool in query.tools]
        if choice := _build_tool_choice(query):
            body["tool_choice"] = choice
    return body


def _build_sampling(query: Query) -> dict[str, object]:
    """Build the sampling parameters: one of ``temperature`` and ``top_p``, which newer models reject together."""
    sampling: dict[str, Any] = {
        name: query.parameters[name] for name in _SAMPLING_PARAMETERS if name in query.parameters
    }
    if {"temperature", "top_p"} <= sampling.keys():
        # The one that says something; else the one that the API recommends.
        del sampling["temperature" if sampling["temperature"] == 1 and sampling["top_p"] != 1 else "top_p"]
    if isinstance(temperature := sampling.get("temperature"), int | float):
        sampling["temperature"] = min(temperature, MAX_TEMPERATURE)
    return sampling


def _valid_user_id(user: str) -> str:
    """Return the user's id, or a digest of it if it is too long, or an address, which the API rejects."""
    if len(user) <= MAX_USER_ID_CHARS and "@" not in user:
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def build_system(query: Query) -> str:
    """Build the system prompt, including system messages among the turns."""
    turns = (*query.history, *query.tool_turns)
    texts = (query.system_prompt(), *(turn.content for turn in turns if turn.role == "system"))
    return "\n\n".join(text for text in texts if text.strip())


def build_messages(query: Query) -> list[Block]:
    """Build the messages: the history, the message, and the tool turns."""
    merged: list[tuple[str, list[Block]]] = []
    for turn in all_turns(query):
        role: Literal["user", "assistant"] = "assistant" if turn.role == "assistant" else "user"
        if blocks := _build_blocks(turn):
            if merged and merged[-1][0] == role:
                merged[-1][1].extend(blocks)
            else:
                merged.append((role, blocks))
    if merged and merged[0][0] == "assistant":
        merged.insert(0, ("user", [_text_block("…")]))
    if merged and merged[-1][0] == "assistant" and (prefill := merged[-1][1][-1])["type"] == "text":
        prefill["text"] = prefill["text"].rstrip()
    return [{"role": role, "content": _build_content(blocks)} for role, blocks in merged]


def _build_content(blocks: list[Block]) -> str | list[Block]:
    match blocks:
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _build_blocks(turn: Turn) -> list[Block]:
    match turn:
        case Turn(role="system"):
            return []
        case Turn(role="tool", call_id=str(call_id)):
            return [_tool_result_block(turn, call_id)]
        case _:
            own = fields_for(turn.extras, "anthropic").get("blocks", ())
            return [*own, *_part_blocks(turn), *(_tool_use_block(call) for call in turn.calls)]


def _part_blocks(turn: Turn) -> list[Block]:
    parts: tuple[Part, ...] = turn.parts or (turn.content,)
    return [
        _attachment_block(part) if isinstance(part, Attachment) else _text_block(part)
        for part in parts
        if isinstance(part, Attachment) or part.strip()
    ]


def _text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def _attachment_block(attachment: Attachment) -> Block:
    if attachment.type == "image":
        return {"type": "image", "source": _source(attachment)}
    title = {"title": attachment.name} if attachment.name else {}
    if (text := attachment.text) is None:
        return {"type": "document", "source": _source(attachment), **title}
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}


def _source(attachment: Attachment) -> Block:
    if not attachment.encoded:
        return {"type": "url", "url": attachment.url}
    media_type = "image/jpeg" if attachment.media_type == "image/jpg" else attachment.media_type
    return {"type": "base64", "media_type": media_type, "data": attachment.encoded}


def _tool_use_block(call: ToolCall) -> Block:
    arguments = responses.parse_arguments(call.arguments)
    own = fields_for(call.extras, "anthropic")
    return {**own, "type": "tool_use", "id": _valid_id(call.id), "name": call.name, "input": arguments}


def _tool_result_block(turn: Turn, call_id: str) -> Block:
    blocks = _part_blocks(turn)
    if turn.failed and not blocks:
        blocks = [_text_block("The tool failed.")]
    result: Block = {"type": "tool_result", "tool_use_id": _valid_id(call_id)}
    if blocks:
        result["content"] = _build_content(blocks)
    return result | {"is_error": True} if turn.failed else result


def _valid_id(call_id: str) -> str:
    """Replace characters that Anthropic rejects; ids of other providers may contain dots or colons."""
    return _INVALID_ID_CHARACTER.sub("_", call_id)


def _build_stop_sequences(stop: object) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, tuple | list) else []
    # Anthropic rejects a request with a blank one.
    return [sequence for sequence in stops if sequence.strip()]


def _build_tool(tool: Tool) -> dict[str, object]:
    description = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **description, "input_schema": {"type": "object", **tool.schema}}


def _build_tool_choice(query: Query) -> dict[str, object]:
    is_sequential = query.parameters.get("parallel_tool_calls") is False
    if query.tool_choice is None and not is_sequential:
        return {}
    mode = "auto" if query.tool_choice is None else query.tool_choice.mode
    choice: dict[str, object] = {"type": _TOOL_CHOICE_TYPES[mode]}
    if query.tool_choice is not None and query.tool_choice.name is not None:
        choice["name"] = query.tool_choice.name
    if is_sequential and mode != "none":
        choice["disable_parallel_tool_use"] = True
    return choice
