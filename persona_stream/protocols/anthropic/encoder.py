"""Anthropic's dialect: a message in blocks, and pings while the backend is at work.

Its law, from wherever a reader comes: ``message_start`` is first; blocks follow each other, each with its beginning
and its end, counted from zero; ``message_stop`` is last, or in its place an error, which may leave a block open.

A run as one message.

What stands beside the texts of an answer, and why it ends: alike in streams and in whole messages.

In the ``Extras.fields`` of a provider of this dialect are ``content`` (blocks that are neither text nor thoughts nor
calls of tools), ``message`` (fields of the message, with its exact ``stop_reason``) and ``usage`` (fields beside the
tokens).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from persona_stream.core import sse
from persona_stream.core.content import ToolCall
from persona_stream.core.events import (
    AnswerReady,
    Completed,
    Event,
    Progress,
    QueuePosition,
    ReasoningChunk,
    RunFailed,
    RunOpened,
    TextChunk,
)
from persona_stream.core.facts import Answered, Entry, Failed, run_terms
from persona_stream.core.i18n import error_text
from persona_stream.core.query import Usage
from persona_stream.core.snapshot import take_snapshot
from persona_stream.core.usage import run_usage
from persona_stream.protocols.anthropic.schemas import (
    STOP_REASONS,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageEnd,
    MessageEvent,
    MessageStart,
    MessageStop,
    MessageUsage,
    Ping,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    failure_body,
)
from persona_stream.protocols.base import dump_json, http_status_for, merge_fields, provider_fields_for

SIGNATURE = "cGVyc29uYV9zdHJlYW0="
"""What thoughts are signed with. It is ours: clients want one, and send it back, and no provider would take it."""


_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")


def message_id(run_id: str) -> str:
    """Give the id that a run has on this wire."""
    return f"msg_{run_id}"


def provider_blocks(answered: Answered) -> list[Any]:
    """Give the provider's blocks for which we have no words."""
    extras = answered.extras
    if extras is None or extras.dialect != "anthropic":
        return []
    found = extras.fields.get("content")
    blocks = found if isinstance(found, list | tuple) else ()
    return [block for block in blocks if isinstance(block, Mapping) and isinstance(block.get("type"), str)]


def stop_reason(answered: Answered) -> Any:
    """Say why the message ends; a ``MessageEnd``, with what else the provider says of the message."""
    said = provider_fields_for(answered, "anthropic", "message")
    reason: Any = said.get("stop_reason")
    if not isinstance(reason, str) or not reason:
        reason = STOP_REASONS[answered.finish]
    end = MessageEnd(stop_reason=reason)
    ours = set(Message.__struct_fields__) - set(MessageEnd.__struct_fields__)
    return merge_fields(end, {name: value for name, value in said.items() if name not in ours})


def usage(taken: Usage, answered: Answered) -> Any:
    """Give the tokens of a whole message; ``MessageUsage``, with what else the provider counts.

    What a cache took or gave is not among ``input_tokens`` on this wire, where it is counted beside them. There is no
    place to say that tokens are estimated.
    """
    said = provider_fields_for(answered, "anthropic", "usage")
    cached = sum(tokens for name in _CACHED if isinstance(tokens := said.get(name), int))
    given = max(0, taken.input_tokens - cached)
    return merge_fields(MessageUsage(input_tokens=given, output_tokens=taken.output_tokens), said)


def tool_input_json(call: ToolCall) -> tuple[str, dict[str, Any]]:
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


_TEXT = TextBlock(text="")
_THOUGHTS = ThinkingBlock(thinking="", signature="")


class AnthropicEncoder:
    """Give events Anthropic's form, for one reader of one run."""

    name: ClassVar = "anthropic"

    __slots__ = ("_began", "_entries", "_index", "_open")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Speak of one run.

        Args:
            entries: its journal, which may grow meanwhile.
        """
        self._entries = entries
        self._began = False
        self._index = 0  # of the open block, or of the next one
        self._open: TextBlock | ThinkingBlock | None = None  # as it began

    def encode(self, event: Event) -> bytes:
        """Frame an event; the first one of all with the beginning of the message before it."""
        frames = b"".join(map(_frame, self._tell(event)))
        if self._began:
            return frames
        self._began = True
        return _frame(self._beginning()) + frames

    def _tell(self, event: Event) -> Iterator[MessageEvent]:
        match event:
            case TextChunk(text=text):
                yield from self._enter(_TEXT)
                yield ContentBlockDelta(index=self._index, delta=TextDelta(text=text))
            case Progress() | QueuePosition():
                yield Ping()
            case ReasoningChunk(text=text):
                yield from self._enter(_THOUGHTS)
                yield ContentBlockDelta(index=self._index, delta=ThinkingDelta(thinking=text))
            case RunOpened() | AnswerReady():
                pass
            case Completed(ending=answered):
                yield from self._complete(answered)
            case RunFailed(code=code, message=message):
                yield failure_body(code, message)

    def _beginning(self) -> MessageStart:
        run = run_terms(self._entries)
        given = run_usage(self._entries).input_tokens
        counted = MessageUsage(input_tokens=given, output_tokens=0)
        return MessageStart(message=Message(id=message_id(run.run_id), model=run.username, content=[], usage=counted))

    def _enter(self, block: TextBlock | ThinkingBlock) -> Iterator[MessageEvent]:
        """Be in a block of this kind: in the open one, or in a new one."""
        if self._open is block:
            return
        yield from self._leave()
        yield ContentBlockStart(index=self._index, content_block=block)
        self._open = block

    def _leave(self) -> Iterator[MessageEvent]:
        """End the open block, if there is one."""
        if self._open is None:
            return
        if self._open is _THOUGHTS:
            yield ContentBlockDelta(index=self._index, delta=SignatureDelta(signature=SIGNATURE))
        yield from self._stop()
        self._open = None

    def _stop(self) -> Iterator[MessageEvent]:
        yield ContentBlockStop(index=self._index)
        self._index += 1

    def _complete(self, answered: Answered) -> Iterator[MessageEvent]:
        yield from self._leave()
        for block in provider_blocks(answered):
            yield ContentBlockStart(index=self._index, content_block=block)
            yield from self._stop()
        for call in answered.calls:
            yield from self._call(call)
        taken: Any = usage(run_usage(self._entries), answered)
        yield MessageDelta(delta=stop_reason(answered), usage=taken)
        yield MessageStop()

    def _call(self, call: ToolCall) -> Iterator[MessageEvent]:
        yield ContentBlockStart(index=self._index, content_block=ToolUseBlock(id=call.id, name=call.name, input={}))
        yield ContentBlockDelta(index=self._index, delta=InputJsonDelta(partial_json=tool_input_json(call)[0]))
        yield from self._stop()


def _frame(body: MessageEvent) -> bytes:
    name = str(body.__struct_config__.tag)
    return sse.named_event(dump_json(body), name.encode("ascii"))


def message_response(entries: Sequence[Entry]) -> tuple[int, Any]:
    """Give the HTTP status and the body that an ended run is answered with, a ``Message`` or a ``MessageError``."""
    summary = take_snapshot(entries)
    run, answered = summary.run, summary.ending
    if isinstance(answered, Failed):
        told = error_text(answered.code, answered.text, run.locale)
        return http_status_for(answered.code), failure_body(answered.code, told)
    if not isinstance(answered, Answered):
        raise TypeError(f"run {run.run_id} has not ended")
    body = Message(
        id=message_id(run.run_id),
        model=run.username,
        content=_content(summary.reasoning, summary.text, answered),
        usage=usage(run_usage(entries), answered),
    )
    return 200, msgspec.to_builtins(body) | msgspec.to_builtins(stop_reason(answered))


def _content(thoughts: str, text: str, answered: Answered) -> list[Any]:
    return [
        *([ThinkingBlock(thinking=thoughts, signature=SIGNATURE)] if thoughts else []),
        *([TextBlock(text=text)] if text else []),
        *provider_blocks(answered),
        *(ToolUseBlock(id=call.id, name=call.name, input=tool_input_json(call)[1]) for call in answered.calls),
    ]
