"""Responses of the Chat Completions API, whole or streamed: texts, tool calls, usage, unknown fields and errors.

Providers deviate from OpenAI in most of these; the comments name the deviations that are handled.
"""

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from msgspec import UNSET

from persona_stream.backends.providers import base, errors, responses
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.openai")

REASONING_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content", "thought", "thoughts",
)  # fmt: skip
KNOWN_MESSAGE_FIELDS = frozenset({"role", "content", "refusal", "tool_calls", "function_call", *REASONING_FIELDS})
_PLAIN_FIELDS = frozenset({"role", "content"})
_KNOWN_CHOICE_FIELDS = frozenset({"index", "message", "delta", "finish_reason", "error", "tool_calls"})
_KNOWN_BODY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_KNOWN_USAGE_FIELDS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_CALL_TYPES = ("tool_use", "tool_call", "toolCall", "function_call")


def parse_completion(parsed: object, choices: int = 1) -> Answer:
    """Parse the body of a completion.

    Of several choices, the first one is the answer. The others are kept if the client requested them; otherwise they
    can only be parts of one answer: GitHub Copilot sends the text and the tool calls as two choices.

    Args:
        parsed: the body.
        choices: how many choices the client requested.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *others], **rest}:
            body = dict(rest)
            if choices > 1:
                dicts = (other for other in others if isinstance(other, dict))
                body["choices"] = [_normalize_choice(other, index) for index, other in enumerate(dicts, 1)]
            elif others and not message.get("tool_calls"):
                message = {**message, "tool_calls": _calls_of_others(others)}
            return _parse_message(message, choice, body, parsed)
        case {"choices": _}:
            raise errors.ProviderError("empty", "no message")
        case _:
            raise errors.ProviderError("unreadable", "not a chat completion")


def _calls_of_others(choices: list[Any]) -> list[Any]:
    found: list[Any] = []
    for choice in choices:
        match choice:
            case {"message": {"tool_calls": list(calls)} as message} if not extract_text(message)[0]:
                found += calls
    return found


def _parse_message(message: dict[str, Any], choice: Mapping[Any, Any], body: Mapping[Any, Any], raw: object) -> Answer:
    text, reasoning = extract_text(message)
    calls = parse_tool_calls(message.get("tool_calls") or choice.get("tool_calls"))
    calls = calls or parse_tool_calls([{"function": message.get("function_call")}, *content_calls(message)])
    finish = responses.map_finish_reason(
        choice.get("finish_reason"), text=text, has_calls=bool(calls), logger=logger, field="finish_reason"
    )
    if finish == "stop" and is_refusal(message):
        finish = "refusal"
    usage = body.get("usage")
    unknown = {
        "message": responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
        "choice": responses.unknown_fields(choice, _KNOWN_CHOICE_FIELDS),
        "choices": {"others": others} if (others := body.get("choices")) else None,
        "completion": responses.unknown_fields(body, _KNOWN_BODY_FIELDS),
        "usage": responses.unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    extras = responses.provider_fields("openai", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=calls, extras=extras)


def _parse_usage(usage: object) -> Usage | None:
    match usage:
        case {"prompt_tokens": int(given), "completion_tokens": int(taken), **rest} if given >= 0 and taken >= 0:
            match rest:
                case {"completion_tokens_details": {"reasoning_tokens": int(reasoning)}} if reasoning >= 0:
                    return Usage(input_tokens=int(given), output_tokens=int(taken), reasoning_tokens=int(reasoning))
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None


_REASON_BY_FINISH: Mapping[Finish, str] = {
    "stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter", "refusal": "stop",
}  # fmt: skip


def _normalize_choice(choice: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return a choice beside the answer in the form that OpenAI's clients expect."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text, reasoning = extract_text(message)
    calls = parse_tool_calls(message.get("tool_calls"))
    finish = responses.map_finish_reason(
        choice.get("finish_reason"), text=text or " .", has_calls=bool(calls), logger=logger, field="finish_reason"
    )
    refusal = is_refusal(message)
    found = {
        "reasoning_content": reasoning,
        "tool_calls": [build_tool_call(call) for call in calls],
        **responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
    }
    content = {"content": None if refusal or not text else text, "refusal": text if refusal else None}
    return {
        "index": index,
        "message": {"role": "assistant", **content, **{name: value for name, value in found.items() if value}},
        "logprobs": choice.get("logprobs"),
        "finish_reason": _REASON_BY_FINISH[finish],
    }


def extract_text(message: Mapping[str, object]) -> tuple[str, str]:
    """Return the text and the reasoning of a message or a delta."""
    text, reasoning = content_text(message.get("content"))
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    # Some providers send the reasoning under several names.
    for name in REASONING_FIELDS:
        match message.get(name):
            case str(value) | {"content": str(value)} | {"text": str(value)} if value:
                return text, value
    return text, reasoning or _details_text(message.get("reasoning_details"))


def is_refusal(message: Mapping[str, object]) -> bool:
    """Return whether the text of a message or a delta is a refusal."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content] if content else [message]
    refusals = [part for part in parts if isinstance(part, dict) and part.get("refusal")]
    return bool(refusals) and len(refusals) == len(parts)


def _details_text(details: object) -> str:
    """Return the text in ``reasoning_details``, as OpenRouter has them."""
    text = ""
    for detail in details if isinstance(details, list) else ():
        match detail:
            case {"type": "reasoning.text", "text": str(part)} | {"type": "reasoning.summary", "summary": str(part)}:
                text += part
    return text


def content_text(content: object) -> tuple[str, str]:
    """Return the text and the reasoning in a ``content``, in each of the forms that providers have for it."""
    if isinstance(content, str):
        return content, ""
    text = ""
    reasoning = ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"thinking": str(thinking)} | {"type": "reasoning", "text": str(thinking)}:
                reasoning += thinking
            case {"thinking": list(inner)}:
                reasoning += "".join(map(_part_text, inner))
            case _:
                text += _part_text(part)
    return text, reasoning


def _part_text(part: object) -> str:
    match part:
        case str(text) | {"text": str(text)} | {"refusal": str(text)}:
            return text
        case _:
            return ""


def content_calls(message: Mapping[str, object]) -> list[Any]:
    """Return the tool calls among the parts of a content."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return [part for part in parts if isinstance(part, dict) and part.get("type") in _CALL_TYPES]


def parse_tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Parse the ``tool_calls`` of a message.

    Raises:
        ProviderError: a call has no name.
    """
    calls = ToolCallAssembler()
    for index, call in enumerate(_to_list(value)):
        if isinstance(call, dict):
            calls.feed({**call, "index": index})
    return calls.result()


def _to_list(value: object) -> list[Any]:
    """Return a list; of one object, if a provider sends a single one in its place."""
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else []


_CALL_FIELDS = frozenset({"index", "id", "type", "function"})
_BARE_CALL_FIELDS = _CALL_FIELDS | {"name", "arguments", "input"}
_FUNCTION_FIELDS = frozenset({"name", "arguments"})


@dataclass(slots=True)
class _PartialCall:
    position: int
    id: str = ""
    name: str = ""
    fragments: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)

    has_arguments: bool = False

    @property
    def arguments(self) -> str:
        return "".join(self.fragments).strip()

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a whole JSON object, which nothing can continue."""
        # Joining and parsing them for each of their parts would be quadratic.
        last = next((part for part in reversed(self.fragments) if not part.isspace()), "")
        return last.rstrip().endswith("}") and isinstance(responses.loads_lenient(self.arguments), dict)

    def add(self, text: str) -> None:
        """Add a part of the arguments, unless it is all of them once more."""
        if not text or (text.lstrip().startswith("{") and self.is_whole and text.strip() == self.arguments):
            return
        self.fragments.append(text)
        self.has_arguments = self.has_arguments or not text.isspace()


class ToolCallAssembler:
    """Assembler of tool calls from the parts in a stream.

    A part should have an ``index``, and the first one of each call its id and name. In public reports one provider
    sends the index 0 for every call, another none at all, a third the wrong one for the rest of a call; ids are
    missing, empty, repeated, or new in every part; names are repeated. So index, id and name only suggest a call, and
    the arguments decide: a whole JSON object ends the call that has it.
    """

    def __init__(self) -> None:
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}
        self._by_id: dict[str, _PartialCall] = {}

    def feed(self, part: Mapping[str, object]) -> str:
        """Add a part and return the text of it that is kept.

        Raises:
            ProviderError: the part belongs to another kind of call.
        """
        if part.get("type") == "custom":
            raise errors.ProviderError("unreadable", "a call of a custom tool")
        function = part.get("function")
        is_bare = not isinstance(function, dict) and isinstance(part.get("name"), str)
        function = part if is_bare else function if isinstance(function, dict) else {}
        id_ = responses.string_or_empty(part.get("id"))
        name = responses.string_or_empty(function.get("name"))
        arguments = function.get("arguments", function.get("input") if is_bare else None)
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        text = responses.string_or_empty(arguments)
        extras = responses.unknown_fields(part, _BARE_CALL_FIELDS if is_bare else _CALL_FIELDS)
        if not is_bare and (inner := responses.unknown_fields(function, _FUNCTION_FIELDS)):
            extras["function"] = inner
        kept = id_ + name + text + (json.dumps(extras) if extras else "")
        if id_ or name or text or (extras and self._calls):
            call = self._find(_valid_index(part.get("index")), id_, name, text)
            call.id = id_ or call.id  # where they differ, the later one is the provider's own
            if name and not call.name.endswith(name):
                call.name = name if name.startswith(call.name) else call.name + name
            call.add(text)
            call.extras |= extras
        return kept

    def result(self) -> tuple[ToolCall, ...]:
        """Return the calls in order of their indexes, each with an id of its own.

        Raises:
            ProviderError: a call has no name, or several are glued together.
        """
        calls: list[ToolCall] = []
        ids: set[str] = set()
        for call in sorted(self._calls, key=lambda call: call.position):
            if not call.name:
                raise errors.ProviderError("unreadable", "a tool call without a name")
            extras = ProviderFields("openai", call.extras) if call.extras else UNSET
            for arguments in _split_arguments(call.fragments):
                # Clients answer by id and parse the arguments as JSON, so both are filled in where they are missing.
                id_ = call.id if call.id and call.id not in ids else f"call_{uuid.uuid4().hex[:24]}"
                ids.add(id_)
                calls.append(ToolCall(id_, call.name, arguments, extras))
        return tuple(calls)

    def _find(self, index: int | None, id_: str, name: str, text: str) -> _PartialCall:
        last = self._calls[-1] if self._calls else None
        indexed = None if index is None else self._by_index.get(index)
        call = self._by_id.get(id_) if id_ else None
        if call is None:
            call = last if index is None else indexed
            if call is None and not (id_ or name) and last is not None and not last.is_whole:
                call = last  # the rest of a call under another index
        elif name and index is not None and indexed is None and (call.is_whole or not call.has_arguments):
            call = None
        if call is None or not _continues(call, id_, name, text, is_indexed=index is not None):
            positions = {call.position for call in self._calls}
            is_free = index is not None and index not in positions
            call = _PartialCall(index if index is not None and is_free else max(positions, default=-1) + 1)
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if id_:
            self._by_id[id_] = call
        return call


def _continues(call: _PartialCall, id_: str, name: str, text: str, *, is_indexed: bool) -> bool:
    """Return whether a part continues a call that its index, its id or its place suggests."""
    has_other_id = bool(id_ and call.id and id_ != call.id)
    if not name or not call.name:
        return not (has_other_id and text.strip() and call.is_whole)
    if name != call.name:
        # Or the next part of its name, which some providers stream too.
        return is_indexed and not has_other_id and not id_ and not call.has_arguments
    if id_ and id_ == call.id:
        return not text.strip() or not call.is_whole or text.strip() == call.arguments
    return not call.is_whole if call.has_arguments else bool(text)


def _split_arguments(fragments: list[str]) -> list[str]:
    """Return the arguments of a call, or of several that a gateway glued together.

    Raises:
        ProviderError: they are glued, and of different functions.
    """
    arguments = "".join(fragments).strip()
    if not arguments.startswith("{") or isinstance(responses.loads_lenient(arguments), dict):
        return [arguments or "{}"]
    # Some providers repeat the arguments from their beginning in each part.
    last = fragments[-1] if fragments else ""
    if all(last.startswith(part) for part in fragments) and isinstance(responses.loads_lenient(last), dict):
        return [last.strip()]
    whole: list[str] = []
    keys = set()
    start = 0
    while start < len(arguments):
        try:
            found, end = _json_decoder.raw_decode(arguments, start)
        except (ValueError, RecursionError):
            return [arguments]  # as the model wrote it, or cut
        if not isinstance(found, dict):
            return [arguments]
        keys.add(frozenset(found))
        whole.append(arguments[start:end])
        start = end
        while arguments[start : start + 1].isspace():
            start += 1
    if len(keys) > 1:
        raise errors.ProviderError("unreadable", "the arguments of several tool calls in one")
    return list(dict.fromkeys(whole))


_json_decoder = json.JSONDecoder()


def _valid_index(index: object) -> int | None:
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 9:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or a chunk of a stream, or ``None``."""
    if isinstance(parsed, list) and parsed:  # Google
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None
    match parsed.get("choices"):
        # Gateways report a provider's failure in the middle of an answer inside the choice.
        case [{"error": choice_error}, *_] if found := errors.parse_error_object(choice_error):
            return found
    error = parsed.get("error")
    if found := errors.parse_error_object(error):
        return found
    if parsed.get("object") == "error" or error is True:
        rest = {name: value for name, value in parsed.items() if name not in ("object", "error")}
        return errors.parse_error_object(rest) or errors.ProviderErrorObject()
    if error and not isinstance(error, dict | str):
        return errors.ProviderErrorObject()
    return errors.parse_bare_error(parsed)


MAX_BODY_FIELDS = 32
MAX_CHOICES = 128


class _PartialChoice:
    """Choice of a completion, rebuilt from its parts."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._reasoning: list[str] = []
        self._calls = ToolCallAssembler()
        self._function_call = ToolCallAssembler()  # as it was before there were tools
        self._message_fields: dict[str, list[Any]] = {}
        self._choice_fields: dict[str, list[Any]] = {}
        self.finish_reason: str | None = None

    def feed(self, choice: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Add a part."""
        reason = choice.get("finish_reason")
        # Some providers send an empty one, or "null", in every chunk.
        if reason and responses.normalize_finish_reason(reason):
            self.finish_reason = reason
        deltas: list[base.StreamDelta] = []
        for name, value in choice.items():
            if value is not None and name not in _KNOWN_CHOICE_FIELDS:
                self._choice_fields.setdefault(name, []).append(value)
                deltas.append(base.StreamDelta("rest", json.dumps(value)))
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return deltas
        content = delta.get("content")
        if isinstance(content, str) and content and delta.keys() <= _PLAIN_FIELDS:  # most deltas of most streams
            self._texts.append(content)
            deltas.append(base.StreamDelta("text", content))
            return deltas
        text, reasoning = extract_text(delta)
        if reasoning:
            self._reasoning.append(reasoning)
            deltas.append(base.StreamDelta("reasoning", reasoning))
        if text:
            refuses = is_refusal(delta)
            # Marks the text, also the parts that follow, before the client receives it.
            fields = {"refusal": ""} if refuses and not self._refusals else None
            (self._refusals if refuses else self._texts).append(text)
            deltas.append(base.StreamDelta("text", text, fields))
        calls = _to_list(delta.get("tool_calls") or choice.get("tool_calls"))
        for part in (*calls, *content_calls(delta)):
            if isinstance(part, dict) and (kept := self._calls.feed(part)):
                deltas.append(base.StreamDelta("rest", kept))
        function_call = {"index": 0, "function": delta.get("function_call")}
        if kept := self._function_call.feed(function_call):
            deltas.append(base.StreamDelta("rest", kept))
        for name, value in responses.unknown_fields(delta, KNOWN_MESSAGE_FIELDS).items():
            self._message_fields.setdefault(name, []).append(value)
            fields = {name: value} if value not in ([], {}, "") else None
            deltas.append(base.StreamDelta("rest", json.dumps(value), fields))
        return deltas

    def result(self) -> dict[str, Any]:
        """Return the choice."""
        content = {
            "content": "".join(self._texts),
            "refusal": "".join(self._refusals),
            "reasoning_content": "".join(self._reasoning),
            "tool_calls": [build_tool_call(call) for call in self._calls.result() or self._function_call.result()],
        }
        unknown = {name: _joined(parts) for name, parts in self._message_fields.items()}
        message = {"role": "assistant", **unknown, **{name: value for name, value in content.items() if value}}
        fields = {name: _joined(parts) for name, parts in self._choice_fields.items()}
        return {"index": 0, "message": message, "finish_reason": self.finish_reason, **fields}


def build_tool_call(call: ToolCall) -> dict[str, Any]:
    """Build the JSON of a tool call, with the fields that its provider added."""
    extras = dict(call.extras.fields) if call.extras and call.extras.dialect == "openai" else {}
    inner = extras.pop("function", None)
    function = {**(inner if isinstance(inner, Mapping) else {}), "name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function, **extras}


class OpenAIStreamDecoder(base.StreamDecoder):
    """Decoder that rebuilds a whole completion from its chunks, and returns the deltas of each.

    Args:
        choices: how many choices the client requested.
    """

    def __init__(self, choices: int = 1) -> None:
        self._requested = choices
        self._body: dict[str, Any] = {}
        self._choices: dict[int, _PartialChoice] = {}
        self._answer: _PartialChoice | None = None  # the first one that came

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received, of all choices."""
        reasons = [choice.finish_reason for choice in self._choices.values()]
        return self.is_closed or (len(reasons) >= self._requested and None not in reasons)

    def feed(self, event: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Decode the next chunk."""
        for name, value in event.items():
            if value is not None and (name in self._body or len(self._body) < MAX_BODY_FIELDS):
                self._body[name] = value
        deltas: list[base.StreamDelta] = []
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                index = _valid_index(choice.get("index")) or 0
                partial = self._choices.get(index)
                if partial is None:
                    if len(self._choices) >= MAX_CHOICES:
                        continue
                    partial = self._choices[index] = _PartialChoice()
                    self._answer = self._answer or partial
                found = partial.feed(choice)
                is_answer = partial is self._answer
                deltas += found if is_answer else [base.StreamDelta("rest", delta.text) for delta in found]
        return deltas

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        choices = [choice.result() | {"index": index} for index, choice in enumerate(self._choices.values())]
        body = {**self._body, "object": "chat.completion", "choices": choices}
        return replace(parse_completion(body, self._requested), text="", reasoning=None)


def _joined(values: list[Any]) -> Any:
    """Join the parts of an unknown field.

    Texts and lists are concatenated, and so are the lists in an object (``logprobs``); of others the last one counts.
    """
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return _merge_details(list(chain.from_iterable(values)))
    if len(values) > 1 and all(isinstance(value, dict) and _has_list(value) for value in values):
        return {
            name: _joined([value[name] for value in values if value.get(name) is not None] or [None])
            for name in dict.fromkeys(chain.from_iterable(values))
        }
    return values[-1]


def _has_list(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, list) for item in value.values())


def _merge_details(items: list[Any]) -> list[Any]:
    """Join the texts of consecutive ``reasoning_details`` of one block, which providers require back as they were."""
    merged: list[Any] = []
    for item in items:
        match merged[-1:], item:
            case [[{"type": str(kind), "index": index} as last], {"type": str(other), "index": other_index}] if (
                kind.startswith("reasoning.") and (kind, index) == (other, other_index)
            ):
                texts = {
                    name: last[name] + item[name]
                    for name in ("text", "summary", "data")
                    if isinstance(last.get(name), str) and isinstance(item.get(name), str)
                }
                merged[-1] = {**last, **{k: v for k, v in item.items() if v is not None}, **texts}
            case _:
                merged.append(item)
    return merged
