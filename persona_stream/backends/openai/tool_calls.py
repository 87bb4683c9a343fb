"""Tool calls of the Chat Completions API, in the forms that providers send, whole or in the parts of a stream."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from persona_stream.backends.providers import errors, responses
from persona_stream.core.content import ProviderFields, ToolCall, fields_for

_CALL_TYPES = ("tool_use", "tool_call", "toolCall", "function_call")


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
    for index, call in enumerate(to_list(value)):
        if isinstance(call, dict):
            calls.feed({**call, "index": index})
    return calls.result()


def to_list(value: object) -> list[Any]:
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
            call = self._find(valid_index(part.get("index")), id_, name, text)
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
        return not text.strip() or not call.is_whole or call.arguments in (responses.NO_ARGUMENTS, text.strip())
    return not call.is_whole if call.has_arguments else bool(text)


def _split_arguments(fragments: list[str]) -> list[str]:
    """Return the arguments of a call, or of several that a gateway glued together.

    Raises:
        ProviderError: they are glued, and of different functions.
    """
    arguments = responses.normalize_arguments("".join(fragments))
    if not arguments.startswith("{") or isinstance(responses.loads_lenient(arguments), dict):
        return [arguments]
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


def valid_index(index: object) -> int | None:
    """Return an index, also of a text; ``None`` if it is none."""
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 9:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def build_tool_call(call: ToolCall) -> dict[str, Any]:
    """Build the JSON of a tool call, with the fields that its provider added."""
    extras = dict(fields_for(call.extras, "openai"))
    inner = extras.pop("function", None)
    function = {**(inner if isinstance(inner, Mapping) else {}), "name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function, **extras}
