"""State of a provider in a field that clients send back unread.

Some providers reject a conversation without their own additions to an answer: the reasoning, the signature of a
thought, fields of a tool call. Clients of Anthropic's protocol send thinking blocks back as they came, with their
signature, and clients of responses the reasoning items, with their encrypted content, so the state travels there.

Invariants:
    A signature or encrypted content of this server begins with a mark. Any other one is a provider's, and is not sent
    to another.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from persona_stream.core import facts
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.protocols.base import provider_fields_for

_MARK = b"persona_stream"
SIGNATURE = base64.b64encode(_MARK).decode()
"""Signature of a thinking block without a state. Clients require one."""

MAX_STATE_BYTES = 2**20

# Fields of a message that a provider may require back; others, such as annotations, are of no use to it.
_REQUIRED_FIELD = re.compile("^(?:reasoning|thinking|thought|extra_content)|signature")


class ProviderState(Struct, frozen=True, omit_defaults=True):
    """State that a provider may require back with an answer.

    Attributes:
        dialect: the protocol of the provider.
        message: fields of the message.
        calls: fields of the tool calls, by id.
        thinking: length and signature of each of the provider's own thinking blocks.
    """

    dialect: str
    message: Mapping[str, Any] = {}
    calls: Mapping[str, Mapping[str, Any]] = {}
    thinking: Sequence[tuple[int, str]] = ()


def state_of(answered: facts.Answered) -> ProviderState | None:
    """Return the state in an answer, if its provider added any."""
    extras = answered.extras
    if extras is not None and extras.dialect == "anthropic":
        thinking = extras.fields.get("thinking")
        return ProviderState("anthropic", thinking=thinking) if isinstance(thinking, list | tuple) else None
    calls = {call.id: call.extras.fields for call in answered.calls if call.extras and call.extras.dialect == "openai"}
    fields = provider_fields_for(answered, "openai", "message")
    message = {name: value for name, value in fields.items() if _REQUIRED_FIELD.search(name)}
    return ProviderState("openai", message, calls) if message or calls else None


def encode(state: ProviderState | None) -> str:
    """Return the text of a state; ``SIGNATURE`` if there is none, or it is too large."""
    if state is None or len(encoded := msgspec.json.encode(state)) > MAX_STATE_BYTES:
        return SIGNATURE
    return base64.b64encode(_MARK + b"=" + encoded).decode()


def decode(text: str | None) -> ProviderState | None:
    """Return the state in a text of ``encode``; ``None`` for the texts of others, and for one without a state."""
    try:
        decoded = base64.b64decode(text or "", validate=True)
        mark, _, encoded = decoded.partition(b"=")
        return msgspec.json.decode(encoded, type=ProviderState) if mark == _MARK and encoded else None
    except (binascii.Error, ValueError, RecursionError):
        return None


def restore_call(call: ToolCall, state: ProviderState | None) -> ToolCall:
    """Return a tool call with the fields that its provider added to it."""
    fields = state.calls.get(call.id) if state is not None else None
    return ToolCall(call.id, call.name, call.arguments, ProviderFields("openai", fields)) if fields else call


def restore_extras(
    state: ProviderState | None, reasoning: str, redacted: Sequence[Mapping[str, Any]] = ()
) -> ProviderFields | UnsetType:
    """Return the fields of a message that its provider requires back, if there are any.

    Args:
        state: State that came with the message.
        reasoning: Whole reasoning of the message, as the client sent it back.
        redacted: Blocks that an Anthropic provider requires back after its thinking blocks.
    """
    if state is not None and state.dialect == "openai":
        return ProviderFields("openai", state.message) if state.message else UNSET
    blocks: list[Mapping[str, Any]] = []
    start = 0
    for length, signature in state.thinking if state is not None else ():
        thought = reasoning[start : start + length]
        if len(thought) == length:  # else the client changed it
            blocks.append({"type": "thinking", "thinking": thought, "signature": signature})
        start += length
    blocks += redacted
    return ProviderFields("anthropic", {"blocks": blocks}) if blocks else UNSET
