"""What stands beside the texts of an answer, and why it ends: alike in streams and in whole messages.

In the ``Extras.fields`` of a provider of this dialect are ``content`` (blocks that are neither text nor thoughts nor
calls of tools), ``message`` (fields of the message, with its exact ``stop_reason``) and ``usage`` (fields beside the
tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from persona_stream.core.content import ToolCall
from persona_stream.core.facts import Answered
from persona_stream.core.query import Usage
from persona_stream.dialects.anthropic.frames import STOP_REASONS, Message, MessageEnd, MessageUsage
from persona_stream.dialects.extras import extras_of, with_fields

SIGNATURE = "cGVyc29uYV9zdHJlYW0="
"""What thoughts are signed with. It is ours: clients want one, and send it back, and no provider would take it."""


_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")


def message_id(run_id: str) -> str:
    """Give the id that a run has on this wire."""
    return f"msg_{run_id}"


def other_blocks(answered: Answered) -> list[Any]:
    """Give the provider's blocks for which we have no words."""
    extras = answered.extras
    if extras is None or extras.dialect != "anthropic":
        return []
    found = extras.fields.get("content")
    blocks = found if isinstance(found, list | tuple) else ()
    return [block for block in blocks if isinstance(block, Mapping) and isinstance(block.get("type"), str)]


def ending(answered: Answered) -> Any:
    """Say why the message ends; a ``MessageEnd``, with what else the provider says of the message."""
    said = extras_of(answered, "anthropic", "message")
    reason: Any = said.get("stop_reason")
    if not isinstance(reason, str) or not reason:
        reason = STOP_REASONS[answered.finish]
    end = MessageEnd(stop_reason=reason)
    ours = set(Message.__struct_fields__) - set(MessageEnd.__struct_fields__)
    return with_fields(end, {name: value for name, value in said.items() if name not in ours})


def usage(taken: Usage, answered: Answered) -> Any:
    """Give the tokens of a whole message; ``MessageUsage``, with what else the provider counts.

    What a cache took or gave is not among ``input_tokens`` on this wire, where it is counted beside them. There is no
    place to say that tokens are estimated.
    """
    said = extras_of(answered, "anthropic", "usage")
    cached = sum(tokens for name in _CACHED if isinstance(tokens := said.get(name), int))
    given = max(0, taken.input_tokens - cached)
    return with_fields(MessageUsage(input_tokens=given, output_tokens=taken.output_tokens), said)


def arguments(call: ToolCall) -> tuple[str, dict[str, Any]]:
    """Give the arguments of a call as JSON, and decoded.

    They must be an object here: clients fail on anything else in the middle of a message. What a model wrote that is
    none stands in one as it is, so that the client's own check of the arguments shows it.
    """
    if not call.arguments.strip():
        return "{}", {}
    try:
        decoded = msgspec.json.decode(call.arguments, type=dict[str, Any])
        msgspec.json.encode(decoded)  # not every number that can be read can be written
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        decoded = {"arguments": call.arguments}
        return msgspec.json.encode(decoded).decode(), decoded
    return call.arguments, decoded
