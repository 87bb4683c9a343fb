"""Calls of tools: whole, or put together from the parts in a stream.

Parts should have an ``index``, and the first one of each call its id and name. Providers differ: one has the index 0
for every call, another none at all, a third repeats id and name in each part. So a part begins a new call where its
index is new, or its id is another one; without both, where it has a name.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from persona_stream.backends.providers.trouble import Trouble
from persona_stream.core.content import ToolCall


def calls_of(found: object) -> tuple[ToolCall, ...]:
    """Give the calls in the ``tool_calls`` of a whole message.

    Raises:
        Trouble: one of them does not say what to call.
    """
    calls = Calls()
    for place, call in enumerate(found if isinstance(found, list) else ()):
        if isinstance(call, dict):
            calls.take({**call, "index": place})
    return calls.whole()


@dataclass(slots=True)
class _Call:
    index: int
    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Calls:
    """Put calls together."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def take(self, part: Mapping[str, object]) -> str:
        """Take a part of a call, and give what is kept of it."""
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
        id_, name, arguments = _string(part.get("id")), _string(function.get("name")), function.get("arguments")
        text = json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else _string(arguments)
        if kept := id_ + name + text:
            call = self._find(part.get("index"), id_, name)
            call.id, call.name = call.id or id_, call.name or name
            call.arguments.append(text)
        return kept

    def whole(self) -> tuple[ToolCall, ...]:
        """Give the calls in their order.

        Raises:
            Trouble: one of them does not say what to call.
        """
        if not all(call.name for call in self._calls):
            raise Trouble("unreadable", "a call without a name")
        return tuple(
            # Clients answer by id, and read arguments as JSON: a call of neither is one that has none.
            ToolCall(call.id or f"call_{uuid.uuid4().hex[:24]}", call.name, "".join(call.arguments).strip() or "{}")
            for call in sorted(self._calls, key=lambda call: call.index)
        )

    def _find(self, index: object, id_: str, name: str) -> _Call:
        place = index if isinstance(index, int) and not isinstance(index, bool) else None
        found: _Call | None
        if place is not None:
            found = self._by_index.get(place)
        elif id_:
            found = self._by_id.get(id_)
        else:
            found = self._calls[-1] if self._calls else None
            if found is not None and name and found.name:
                found = None
        if found is None or (id_ and found.id and id_ != found.id):
            found = _Call(self._next() if place is None else place, id_)
            self._calls.append(found)
        self._by_index[found.index] = found
        if id_:
            self._by_id[id_] = found
        return found

    def _next(self) -> int:
        return max(self._by_index, default=-1) + 1


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
