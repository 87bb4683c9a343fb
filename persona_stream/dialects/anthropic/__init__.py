"""Anthropic's dialect: a message in blocks, and pings while the backend is at work.

Its law, from wherever a reader comes: ``message_start`` is first; blocks follow each other, each with its beginning
and its end, counted from zero; ``message_stop`` is last, or in its place an error, which may leave a block open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from persona_stream.core import sse
from persona_stream.core.content import ToolCall
from persona_stream.core.events import Complete, Event, Failure, Opening, Piece, Processed, Progress, Queuing, Thought
from persona_stream.core.facts import Answered, Entry, terms
from persona_stream.core.usage import usage_of
from persona_stream.dialects.anthropic.blocks import SIGNATURE, arguments, ending, message_id, other_blocks, usage
from persona_stream.dialects.anthropic.errors import failure
from persona_stream.dialects.anthropic.frames import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJsonDelta,
    Message,
    MessageDelta,
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
)
from persona_stream.dialects.writing import to_json

_TEXT = TextBlock(text="")
_THOUGHTS = ThinkingBlock(thinking="", signature="")


class Anthropic:
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
            case Piece(text=text):
                yield from self._enter(_TEXT)
                yield ContentBlockDelta(index=self._index, delta=TextDelta(text=text))
            case Progress() | Queuing():
                yield Ping()
            case Thought(text=text):
                yield from self._enter(_THOUGHTS)
                yield ContentBlockDelta(index=self._index, delta=ThinkingDelta(thinking=text))
            case Opening() | Processed():
                pass
            case Complete(ending=answered):
                yield from self._complete(answered)
            case Failure(code=code, message=message):
                yield failure(code, message)

    def _beginning(self) -> MessageStart:
        run = terms(self._entries)
        given = usage_of(self._entries).input_tokens
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
        for block in other_blocks(answered):
            yield ContentBlockStart(index=self._index, content_block=block)
            yield from self._stop()
        for call in answered.calls:
            yield from self._call(call)
        taken: Any = usage(usage_of(self._entries), answered)
        yield MessageDelta(delta=ending(answered), usage=taken)
        yield MessageStop()

    def _call(self, call: ToolCall) -> Iterator[MessageEvent]:
        yield ContentBlockStart(index=self._index, content_block=ToolUseBlock(id=call.id, name=call.name, input={}))
        yield ContentBlockDelta(index=self._index, delta=InputJsonDelta(partial_json=arguments(call)[0]))
        yield from self._stop()


def _frame(body: MessageEvent) -> bytes:
    name = str(body.__struct_config__.tag)
    return sse.named_event(to_json(body), name.encode("ascii"))
