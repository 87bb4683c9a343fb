"""OpenAI's Responses protocol: typed events with sequence numbers, and whole responses.

While the backend works, comments keep the connection alive. As many clients do not count them, every 15 seconds an
event follows that they know: ``response.in_progress`` before the first item, an empty delta after it began. Such a
filler has the number of the event before it, so a client that resumes loses and repeats nothing.

Invariants:

- An item is added, gets its deltas, and is done, before the next one is added.
- ``[DONE]`` is the last message, after ``response.completed``, ``response.incomplete`` or ``response.failed``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import structs

from persona_stream.core import cursor, events, facts, i18n, query, sse
from persona_stream.protocols import base
from persona_stream.protocols.openai.schemas import ErrorBody, error_body, failure_body
from persona_stream.protocols.openai_responses import output, schemas
from persona_stream.protocols.openai_responses.sequence import SequenceNumbers

_CLOSING_SLOT = 1  # first slot of the events that close an item
_OPENING_SLOT = 4  # first slot of those that open one; the same whether an item was closed or not
_EVENTS_PER_ITEM = 4  # at most, for each item that follows the texts


def last_sequence_number(entries: Sequence[facts.Entry]) -> int:
    """Return the greatest number that an event of the run can have so far."""
    numbers = SequenceNumbers(entries)
    match entries[-1].fact:
        case facts.Answered() as answered:
            count = len(output.last_items(entries, answered))
            return numbers.in_block(len(entries), _OPENING_SLOT + _EVENTS_PER_ITEM * count)
        case facts.Failed():
            return numbers.in_block(len(entries), _CLOSING_SLOT + 1)
    return numbers.at(cursor.Position(len(entries), 0))


class ResponsesEncoder:
    """Encoder of the events of one response for one subscriber.

    Args:
        entries: Journal of the run.
        heartbeat: Form of progress: ``comment`` with a filler now and then, ``delta`` for a filler each time,
            ``keepalive`` or ``progress`` for events of that kind, or ``off``.
        locale: Language of statuses.
        starting_after: Number of the last event that the subscriber has; events up to it are left out.
    """

    __slots__ = (
        "_entries", "_fillers", "_has_started", "_heartbeat", "_locale", "_number", "_numbers", "_open",
        "_starting_after",
    )  # fmt: skip

    def __init__(
        self,
        entries: Sequence[facts.Entry],
        *,
        heartbeat: base.Heartbeat = "comment",
        locale: query.Locale = "en",
        starting_after: int | None = None,
    ) -> None:
        self._entries = entries
        self._heartbeat = heartbeat
        self._locale = locale
        self._starting_after = -1 if starting_after is None else starting_after
        self._numbers = SequenceNumbers(entries)
        self._number = 0  # of the last event
        self._open: output.OutputSegment | None = None  # text whose item is open
        self._has_started = False
        self._fillers = base.FillerTimer()

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event."""
        match event:
            case events.Progress(percent=percent, message=message):
                if self._has_started:
                    return self._heartbeats(event, message=message, percent=percent)
                self._has_started = True
                self._fillers = base.FillerTimer()
            case events.QueuePosition(queue_position=position):
                return self._heartbeats(event, message=i18n.queued_text(self._locale, position), percent=None)
        messages = []
        for body in self._bodies(event):
            self._number = body.sequence_number
            if body.sequence_number > self._starting_after:
                messages.append(base.typed_message(body))
        if isinstance(event, events.Completed | events.RunFailed):
            messages.append(base.DONE)
        return messages

    def _bodies(self, event: events.Event) -> Iterator[schemas.ResponseEvent]:
        match event:
            case events.TextChunk(position=position, text=text):
                yield from self._text(position, text, is_reasoning=False)
            case events.ReasoningChunk(position=position, text=text):
                yield from self._text(position, text, is_reasoning=True)
            case events.RunOpened(position=position):
                is_background = output.is_background(self._entries)
                response = output.pending_response(self._entries, "queued" if is_background else "in_progress")
                yield schemas.ResponseCreated(sequence_number=self._numbers.at(position), response=response)
            case events.Progress(position=position):
                response = output.pending_response(self._entries, "in_progress")
                yield schemas.ResponseInProgress(sequence_number=self._numbers.at(position), response=response)
            case events.Completed(ending=answered):
                yield from self._complete(answered)
            case events.RunFailed(code=code, message=message):
                yield from self._fail(code, message)

    def _text(self, position: cursor.Position, text: str, *, is_reasoning: bool) -> Iterator[schemas.ResponseEvent]:
        segment = self._open
        if segment is None or (segment.kind == "reasoning") != is_reasoning:
            last_fact = position.facts if position.characters else position.facts - 1
            segment = [each for each in output.output_segments(self._entries) if each.start <= last_fact][-1]
            yield from self._close_item(segment.start, "completed")
            yield from self._open_item(segment)
        yield _delta(segment, self._numbers.at(position), text)

    def _open_item(self, segment: output.OutputSegment) -> Iterator[schemas.ResponseEvent]:
        self._open = segment
        number = self._numbers.in_block(segment.start, _OPENING_SLOT)
        item = output.text_item(segment, "in_progress", is_empty=True)
        yield schemas.OutputItemAdded(sequence_number=number, output_index=segment.index, item=item)
        place: dict[str, Any] = {"output_index": segment.index, "item_id": segment.item_id}
        if segment.kind == "reasoning":
            yield schemas.SummaryPartAdded(sequence_number=number + 1, part=schemas.SummaryText(text=""), **place)
        else:
            yield schemas.ContentPartAdded(sequence_number=number + 1, part=output.content_part(segment, ""), **place)

    def _close_item(self, fact: int, status: schemas.ItemStatus) -> Iterator[schemas.ResponseEvent]:
        """Yield the events that close the open item, if there is one, in the block of a fact."""
        if self._open is None:
            return
        segment = output.output_segments(self._entries)[self._open.index]
        item = output.text_item(segment, status)
        number = self._numbers.in_block(fact, _CLOSING_SLOT)
        place: dict[str, Any] = {"output_index": segment.index, "item_id": item.id}
        match segment.kind:
            case "reasoning":
                part = schemas.SummaryText(text=segment.text)
                yield schemas.SummaryTextDone(sequence_number=number, text=segment.text, **place)
                yield schemas.SummaryPartDone(sequence_number=number + 1, part=part, **place)
            case "text":
                yield schemas.OutputTextDone(sequence_number=number, text=segment.text, **place)
            case "refusal":
                yield schemas.RefusalDone(sequence_number=number, refusal=segment.text, **place)
        if segment.kind != "reasoning":
            content = output.content_part(segment, segment.text)
            yield schemas.ContentPartDone(sequence_number=number + 1, part=content, **place)
        yield schemas.OutputItemDone(sequence_number=number + 2, output_index=segment.index, item=item)

    def _complete(self, answered: facts.Answered) -> Iterator[schemas.ResponseEvent]:
        status = output.final_status(answered)
        yield from self._close_item(len(self._entries), status)
        number = self._numbers.in_block(len(self._entries), _OPENING_SLOT)
        first_index = len(output.output_segments(self._entries))
        for index, item in enumerate(output.last_items(self._entries, answered), first_index):
            yield from _whole_item(number, index, item)
            number += _EVENTS_PER_ITEM
        response = output.response_object(self._entries)
        ending = schemas.ResponseIncomplete if status == "incomplete" else schemas.ResponseCompleted
        yield ending(sequence_number=number, response=response)

    def _fail(self, code: facts.FailureCode, text: str) -> Iterator[schemas.ResponseEvent]:
        number = self._numbers.in_block(len(self._entries), _CLOSING_SLOT)
        error = failure_body(code, text).error
        details: dict[str, Any] = {"code": error.code, "message": error.message, "param": error.param}
        yield schemas.StreamError(
            sequence_number=number, error=schemas.ErrorDetails(type=error.type, **details), **details
        )
        response = output.failed_response(self._entries, code, text)
        yield schemas.ResponseFailed(sequence_number=number + 1, response=response)

    def _heartbeats(
        self, event: events.Progress | events.QueuePosition, *, message: str, percent: int | None
    ) -> Sequence[sse.ServerSentEvent]:
        match self._heartbeat:
            case "off":
                return ()
            case "delta":
                return (base.typed_message(self._filler()),)
            case "keepalive":
                return (base.typed_message(schemas.KeepAlive(sequence_number=self._number)),)
            case "progress":
                body = schemas.ProgressEvent(
                    sequence_number=self._number,
                    message=message,
                    percent=percent,
                    elapsed=round(event.elapsed, 1),
                    eta=None if event.eta is None else round(event.eta, 1),
                )
                return (base.typed_message(body),)
        comment = sse.ServerSentEvent(comment=base.progress_comment(event))
        return (comment, base.typed_message(self._filler())) if self._fillers.is_due(event.elapsed) else (comment,)

    def _filler(self) -> schemas.ResponseEvent:
        """Return an event without news that clients count as a sign of life."""
        if self._open is not None:
            return _delta(self._open, self._number, "")
        if self._has_started:
            response = output.pending_response(self._entries, "in_progress")
            return schemas.ResponseInProgress(sequence_number=self._number, response=response)
        response = output.pending_response(self._entries, "queued")
        return schemas.ResponseQueued(sequence_number=self._number, response=response)


def _delta(segment: output.OutputSegment, number: int, text: str) -> schemas.ResponseEvent:
    """Return a delta of a text."""
    place: dict[str, Any] = {"output_index": segment.index, "item_id": segment.item_id}
    match segment.kind:
        case "reasoning":
            return schemas.SummaryTextDelta(sequence_number=number, delta=text, **place)
        case "text":
            return schemas.OutputTextDelta(sequence_number=number, delta=text, **place)
        case "refusal":
            return schemas.RefusalDelta(sequence_number=number, delta=text, **place)


def _whole_item(number: int, index: int, item: output.LastItem) -> Iterator[schemas.ResponseEvent]:
    """Yield the events of an item that is sent whole."""
    place: dict[str, Any] = {"output_index": index, "item_id": item.id}
    begun: schemas.OutputItem
    match item:
        case schemas.OutputReasoning():
            begun = structs.replace(item, status="in_progress", encrypted_content=None)
            yield schemas.OutputItemAdded(sequence_number=number, output_index=index, item=begun)
        case schemas.OutputFunctionCall(arguments=arguments, name=name):
            begun = structs.replace(item, status="in_progress", arguments="")
            yield schemas.OutputItemAdded(sequence_number=number, output_index=index, item=begun)
            yield schemas.ArgumentsDelta(sequence_number=number + 1, delta=arguments, **place)
            yield schemas.ArgumentsDone(sequence_number=number + 2, name=name, arguments=arguments, **place)
        case schemas.OutputCustomToolCall(input=text):
            begun = structs.replace(item, status="in_progress", input="")
            yield schemas.OutputItemAdded(sequence_number=number, output_index=index, item=begun)
            yield schemas.CustomToolInputDelta(sequence_number=number + 1, delta=text, **place)
            yield schemas.CustomToolInputDone(sequence_number=number + 2, input=text, **place)
    yield schemas.OutputItemDone(sequence_number=number + 3, output_index=index, item=item)


class ResponsesProtocol(base.WireProtocol):
    """OpenAI's responses."""

    name = "responses"
    path_prefixes = ("/v1/responses",)
    run_endpoints = ("/v1/responses",)
    request_id_header = "x-request-id"
    retries_conflicts = True

    def encoder(self, entries: Sequence[facts.Entry], options: base.EncoderOptions) -> ResponsesEncoder:
        """Return a new encoder for one subscriber."""
        return ResponsesEncoder(
            entries, heartbeat=options.heartbeat, locale=options.locale, starting_after=options.starting_after
        )

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        _, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return base.http_status_for(ending.code), failure_body(ending.code, ending.message)
        return 200, output.response_object(entries)

    def error(self, error: base.ErrorInfo) -> ErrorBody:
        """Return the body of an error response."""
        return error_body(error)


RESPONSES = ResponsesProtocol()
