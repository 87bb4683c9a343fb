"""Anthropic's Messages protocol: messages in blocks, with pings while the backend works.

``ProviderFields.fields`` of an Anthropic provider has the sections ``content`` (blocks other than text, thinking and
tool calls), ``message`` (fields of the message, with the exact ``stop_reason``) and ``usage`` (fields beside the token
counts).

Invariants, from whichever position a subscriber starts:

- ``message_start`` is the first event.
- Blocks are numbered from zero and do not overlap; each has a start and a stop.
- ``message_stop`` is the last event; after a failure it is an error instead, which may leave a block open.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from persona_stream.core import events, facts, query, sse
from persona_stream.core.content import ToolCall, fields_for
from persona_stream.core.usage import run_usage
from persona_stream.protocols import base, provider_state
from persona_stream.protocols.anthropic import schemas

_CACHE_COUNTERS = ("cache_creation_input_tokens", "cache_read_input_tokens")
_TEXT = schemas.TextBlock(text="")
_THINKING = schemas.ThinkingBlock(thinking="", signature="")


def provider_blocks(answered: facts.Answered) -> list[Any]:
    """Return the provider's blocks other than text, thinking and tool calls."""
    content = fields_for(answered.extras, "anthropic").get("content")
    blocks = content if isinstance(content, list | tuple) else ()
    return [block for block in blocks if isinstance(block, Mapping) and isinstance(block.get("type"), str)]


def message_end(answered: facts.Answered) -> Any:
    """Return a ``MessageEnd`` with the stop reason and the provider's own fields of the message."""
    fields = base.provider_fields_for(answered, "anthropic", "message")
    reason: Any = fields.get("stop_reason")
    if not isinstance(reason, str) or not reason:
        reason = schemas.STOP_REASONS[answered.finish]
    reserved = set(schemas.Message.__struct_fields__) - set(schemas.MessageEnd.__struct_fields__)
    extra = {name: value for name, value in fields.items() if name not in reserved}
    return base.merge_fields(schemas.MessageEnd(stop_reason=reason), extra)


def message_usage(usage: query.Usage, answered: facts.Answered) -> Any:
    """Return a ``MessageUsage`` with the provider's own counters.

    In this protocol, ``input_tokens`` excludes cached tokens, and estimates cannot be marked.
    """
    fields = base.provider_fields_for(answered, "anthropic", "usage")
    cached = sum(tokens for name in _CACHE_COUNTERS if isinstance(tokens := fields.get(name), int))
    input_tokens = max(0, usage.input_tokens - cached)
    return base.merge_fields(schemas.MessageUsage(input_tokens=input_tokens, output_tokens=usage.output_tokens), fields)


def tool_input_json(call: ToolCall) -> tuple[str, dict[str, Any]]:
    """Return the arguments of a tool call as JSON text and decoded.

    Clients of this protocol fail on arguments that are not an object. Such arguments are wrapped in one unchanged, so
    that the client's own validation reports them.
    """
    if not call.arguments.strip():
        return "{}", {}
    try:
        decoded = base.decode_arguments(call.arguments)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict):
        return call.arguments, decoded
    wrapped = {"arguments": call.arguments}
    return msgspec.json.encode(wrapped).decode(), wrapped


class AnthropicEncoder:
    """Encoder of the events of one message for one subscriber."""

    __slots__ = ("_entries", "_has_started", "_index", "_open_block")

    def __init__(self, entries: Sequence[facts.Entry]) -> None:
        self._entries = entries
        self._has_started = False
        self._index = 0  # of the open block, or of the next one
        self._open_block: schemas.TextBlock | schemas.ThinkingBlock | None = None  # as it was started

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event; ``message_start`` precedes the first one."""
        messages = [base.typed_message(body) for body in self._bodies(event)]
        if not self._has_started:
            self._has_started = True
            messages.insert(0, base.typed_message(self._message_start()))
        return messages

    def _bodies(self, event: events.Event) -> Iterator[schemas.MessageEvent]:
        match event:
            case events.TextChunk(text=text):
                yield from self._enter_block(_TEXT)
                yield schemas.ContentBlockDelta(index=self._index, delta=schemas.TextDelta(text=text))
            case events.Progress() | events.QueuePosition():
                yield schemas.Ping()
            case events.ReasoningChunk(text=text):
                yield from self._enter_block(_THINKING)
                yield schemas.ContentBlockDelta(index=self._index, delta=schemas.ThinkingDelta(thinking=text))
            case events.RunOpened() | events.AnswerReady() | events.ProviderChunk() | events.ToolCalled():
                pass
            case events.Completed(ending=answered):
                yield from self._complete(answered)
            case events.RunFailed(code=code, message=message):
                yield schemas.failure_body(code, message)

    def _message_start(self) -> schemas.MessageStart:
        run = facts.run_terms(self._entries)
        usage = schemas.MessageUsage(input_tokens=run_usage(self._entries).input_tokens, output_tokens=0)
        message = schemas.Message(id=f"msg_{run.run_id}", model=run.username, content=[], usage=usage)
        return schemas.MessageStart(message=message)

    def _enter_block(self, block: schemas.TextBlock | schemas.ThinkingBlock) -> Iterator[schemas.MessageEvent]:
        """Start a block of this kind unless one is open."""
        if self._open_block is block:
            return
        yield from self._leave_block()
        yield schemas.ContentBlockStart(index=self._index, content_block=block)
        self._open_block = block

    def _leave_block(self) -> Iterator[schemas.MessageEvent]:
        """Stop the open block, if there is one."""
        if self._open_block is None:
            return
        if self._open_block is _THINKING:
            yield schemas.ContentBlockDelta(
                index=self._index, delta=schemas.SignatureDelta(signature=provider_state.SIGNATURE)
            )
        yield from self._stop_block()
        self._open_block = None

    def _stop_block(self) -> Iterator[schemas.MessageEvent]:
        yield schemas.ContentBlockStop(index=self._index)
        self._index += 1

    def _complete(self, answered: facts.Answered) -> Iterator[schemas.MessageEvent]:
        yield from self._leave_block()
        if (state := provider_state.state_of(answered)) is not None:
            yield schemas.ContentBlockStart(index=self._index, content_block=_THINKING)
            delta = schemas.SignatureDelta(signature=provider_state.encode(state))
            yield schemas.ContentBlockDelta(index=self._index, delta=delta)
            yield from self._stop_block()
        for provider_block in provider_blocks(answered):
            yield schemas.ContentBlockStart(index=self._index, content_block=provider_block)
            yield from self._stop_block()
        for call in answered.calls:
            block: Any = _tool_use(call, {})
            yield schemas.ContentBlockStart(index=self._index, content_block=block)
            arguments = schemas.InputJsonDelta(partial_json=tool_input_json(call)[0])
            yield schemas.ContentBlockDelta(index=self._index, delta=arguments)
            yield from self._stop_block()
        usage: Any = message_usage(run_usage(self._entries), answered)
        yield schemas.MessageDelta(delta=message_end(answered), usage=usage)
        yield schemas.MessageStop()


def _tool_use(call: ToolCall, arguments: dict[str, Any]) -> Any:
    """Return a ``ToolUseBlock`` with the fields that a provider of this protocol added."""
    block = schemas.ToolUseBlock(id=call.id, name=call.name, input=arguments)
    return base.merge_fields(block, fields_for(call.extras, "anthropic"))


def _content(reasoning: str, text: str, answered: facts.Answered) -> list[Any]:
    state = provider_state.state_of(answered)
    thinking = schemas.ThinkingBlock(thinking=reasoning, signature=provider_state.encode(state))
    return [
        *([thinking] if reasoning or state is not None else []),
        *([schemas.TextBlock(text=text)] if text else []),
        *provider_blocks(answered),
        *(_tool_use(call, tool_input_json(call)[1]) for call in answered.calls),
    ]


class AnthropicProtocol(base.WireProtocol):
    """Anthropic's messages. On shared paths, all its clients send the marker header."""

    name = "anthropic"
    path_prefixes = ("/v1/messages",)
    run_endpoints = ("/v1/messages",)
    marker_header = "anthropic-version"
    request_id_header = "request-id"
    retries_conflicts = True

    def encoder(self, entries: Sequence[facts.Entry], options: base.EncoderOptions) -> AnthropicEncoder:
        """Return a new encoder for one subscriber."""
        return AnthropicEncoder(entries)

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        snapshot, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return base.http_status_for(ending.code), schemas.failure_body(ending.code, ending.message)
        body = schemas.Message(
            id=f"msg_{snapshot.run.run_id}",
            model=snapshot.run.username,
            content=_content(snapshot.reasoning, snapshot.text, ending),
            usage=message_usage(run_usage(entries), ending),
        )
        return 200, msgspec.to_builtins(body) | msgspec.to_builtins(message_end(ending))

    def error(self, error: base.ErrorInfo) -> schemas.MessageError:
        """Return the body of an error response."""
        return schemas.error_body(error)


ANTHROPIC = AnthropicProtocol()
