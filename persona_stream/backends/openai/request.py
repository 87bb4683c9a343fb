"""Request bodies of the Chat Completions API: a query as messages, tools and sampling parameters."""

import hashlib
import mimetypes
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from persona_stream.backends.openai import response, tool_calls
from persona_stream.backends.providers import responses
from persona_stream.core.content import Attachment, Part, Tool, ToolChoice, attachments_of, fields_for
from persona_stream.core.query import Query, Turn, all_turns

Message = dict[str, Any]

MAX_USER_CHARS = 64
_AUDIO_FORMATS = {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav"}  # by media types that are named otherwise

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

    Tool results can contain text only, so their attachments follow as a user message after all results for the same
    assistant message, because nothing may stand between those.
    """
    prompt = query.system_prompt()
    messages: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    attachments: list[Message] = []
    for turn in all_turns(query):
        if attachments and turn.role != "tool":
            messages.append({"role": "user", "content": attachments})
            attachments = []
        messages.append(_build_message(turn))
        if turn.role == "tool":
            attachments.extend(_build_part(part) for part in attachments_of(turn.parts))
    if attachments:
        messages.append({"role": "user", "content": attachments})
    return messages


def _build_message(turn: Turn) -> Message:
    own = fields_for(turn.extras, "openai")
    match turn:
        case Turn(role="assistant", calls=calls):
            message: Message = {"role": "assistant", "content": turn.content}
            if calls:
                message["content"] = turn.content or None
                message["tool_calls"] = [
                    tool_calls.build_tool_call(replace(call, arguments=responses.valid_arguments(call.arguments)))
                    for call in calls
                ]
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
    match inline_text(part):
        case str(text):
            return {"type": "text", "text": text}
        case Attachment(type="image", url=url, detail=detail):
            return {"type": "image_url", "image_url": {"url": url} | ({} if detail is None else {"detail": detail})}
        case Attachment(type="audio", url=url, encoded=data) as audio:
            # Some providers take an address in this place, as in that of a file.
            return {"type": "input_audio", "input_audio": {"data": data or url, "format": _audio_format(audio)}}
        case Attachment(url=url) as file:
            return {"type": "file", "file": {"filename": file_name(file), "file_data": url}}


def inline_text(part: Part) -> Part:
    """Return a file of text as its text, below its name, because few providers take such files; others as they are."""
    if isinstance(part, str) or (text := part.text) is None:
        return part
    return f"{part.name}:\n{text}" if part.name else text


def file_name(attachment: Attachment) -> str:
    """Return the name of a file, which the API requires: its own, the one in its address, or one by its type."""
    in_address = "" if attachment.encoded else urlsplit(attachment.url).path.rpartition("/")[2]
    extension = mimetypes.guess_extension(attachment.media_type) or ""
    return attachment.name or in_address or f"file{extension}"


def _audio_format(attachment: Attachment) -> str:
    extension = file_name(attachment).rpartition(".")[2].lower()
    subtype = (attachment.media_type or f"audio/{extension}").partition("/")[2].removeprefix("x-")
    return _AUDIO_FORMATS.get(subtype, subtype)


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
