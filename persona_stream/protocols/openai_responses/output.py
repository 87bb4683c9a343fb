"""The response object of a run, and its output items: functions of the journal alone.

Invariants:
    Items and their ids are the same in the stream, in every replay and in the final object.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from persona_stream.core import events, facts
from persona_stream.core.usage import run_usage
from persona_stream.errors import NotFound
from persona_stream.protocols import base, provider_state
from persona_stream.protocols.openai.schemas import failure_body
from persona_stream.protocols.openai_responses import schemas
from persona_stream.protocols.openai_responses.tools import ResponseTool, call_item

RESPONSE_PREFIX = "resp_"

LastItem = schemas.OutputReasoning | schemas.OutputFunctionCall | schemas.OutputCustomToolCall
"""Item that an answer has whole at its end."""

_INCOMPLETE_REASONS: dict[str, Literal["max_output_tokens", "content_filter"]] = {
    "length": "max_output_tokens",
    "filter": "content_filter",
}


class StoredRequest(Struct, frozen=True, omit_defaults=True):
    """Part of a request that its journal keeps: the fields that responses repeat, and the input unless `store` is off.

    Attributes:
        parameters: fields by name, as they were sent.
        input: input items, or ``None`` for a request that must not be stored.
    """

    parameters: dict[str, Any] = {}
    input: list[dict[str, Any]] | None = None


_request_decoder = msgspec.json.Decoder(StoredRequest)


def stored_request(entries: Sequence[facts.Entry]) -> StoredRequest:
    """Return the stored part of a run's request; empty for a run that another protocol started."""
    encoded = facts.run_terms(entries).request
    return _request_decoder.decode(encoded) if encoded else StoredRequest(input=[])


def is_stored(request: StoredRequest) -> bool:
    """Return whether later requests may refer to the response."""
    return request.input is not None


def parse_response_id(response_id: str) -> str:
    """Return the run id of a response; raise ``NotFound`` for another id."""
    if not response_id.startswith(RESPONSE_PREFIX):
        raise NotFound(f"Response with id {response_id[:80]!r} not found")
    return response_id.removeprefix(RESPONSE_PREFIX)


class OutputSegment(Struct, frozen=True):
    """Consecutive text of one kind, which is one output item.

    Attributes:
        item_id: id of the item.
        index: index of the item in the output.
        start: index of the first fact.
    """

    kind: Literal["reasoning", "text", "refusal"]
    item_id: str
    index: int
    start: int
    text: str


def output_segments(entries: Sequence[facts.Entry]) -> list[OutputSegment]:
    """Return the texts of a run, as far as they are known."""
    found: list[tuple[Literal["reasoning", "text", "refusal"], int, list[str]]] = []
    has_refusal = False
    for index, entry in enumerate(entries):
        match entry.fact:
            case facts.ProviderDelta(fields=fields):
                has_refusal |= any("refusal" in part for part in fields)
            case facts.ReasoningDelta(text=text) if text:
                if not found or found[-1][0] != "reasoning":
                    found.append(("reasoning", index, []))
                found[-1][2].append(text)
            case facts.AnswerDelta(text=text) | facts.Answered(text=text) if text:
                if not found or found[-1][0] == "reasoning":
                    # Decided when the text begins: a later ending must not change a replay.
                    is_refusal = has_refusal or getattr(entry.fact, "finish", None) == "refusal"
                    found.append(("refusal" if is_refusal else "text", index, []))
                found[-1][2].append(text)
    run_id = facts.run_terms(entries).run_id
    segments: list[OutputSegment] = []
    counts = Counter[str]()
    for index, (kind, start, texts) in enumerate(found):
        prefix = "rs" if kind == "reasoning" else "msg"
        segments.append(OutputSegment(kind, f"{prefix}_{run_id}_{counts[prefix]}", index, start, "".join(texts)))
        counts[prefix] += 1
    return segments


def content_part(segment: OutputSegment, text: str) -> schemas.OutputText | schemas.OutputRefusal:
    """Return the part of a message with this text."""
    return schemas.OutputRefusal(refusal=text) if segment.kind == "refusal" else schemas.OutputText(text=text)


def text_item(
    segment: OutputSegment, status: schemas.ItemStatus, *, is_empty: bool = False
) -> schemas.OutputMessage | schemas.OutputReasoning:
    """Return the output item of a text, with or without its content."""
    if segment.kind == "reasoning":
        summary = () if is_empty else (schemas.SummaryText(text=segment.text),)
        return schemas.OutputReasoning(id=segment.item_id, status=status, summary=summary)
    content = () if is_empty else (content_part(segment, segment.text),)
    return schemas.OutputMessage(id=segment.item_id, status=status, content=content)


def final_status(answered: facts.Answered) -> Literal["completed", "incomplete"]:
    """Return the status of a response that has its answer, and of its last message."""
    return "incomplete" if answered.finish in _INCOMPLETE_REASONS else "completed"


def output_items(entries: Sequence[facts.Entry]) -> tuple[schemas.OutputItem, ...]:
    """Return the output items of a run, as far as they are known."""
    segments = output_segments(entries)
    last: schemas.ItemStatus = "in_progress"
    rest: Sequence[schemas.OutputItem] = ()
    match entries[-1].fact:
        case facts.Answered() as answered:
            last = final_status(answered)
            rest = last_items(entries, answered)
        case facts.Failed():
            last = "incomplete"
    texts = [text_item(segment, "completed") for segment in segments[:-1]]
    texts += [text_item(segment, last) for segment in segments[-1:]]
    return (*texts, *rest)


def last_items(entries: Sequence[facts.Entry], answered: facts.Answered) -> Sequence[LastItem]:
    """Return the output items that follow the texts of an answer: the state of its provider, and its calls."""
    run_id = facts.run_terms(entries).run_id
    items: list[LastItem] = []
    if (state := provider_state.state_of(answered)) is not None:
        content = provider_state.encode(state)
        items.append(schemas.OutputReasoning(id=f"rs_{run_id}_state", status="completed", encrypted_content=content))
    if answered.calls:
        tools = msgspec.convert(stored_request(entries).parameters.get("tools", []), list[ResponseTool])
        items += [call_item(call, f"call_{run_id}_{index}", tools) for index, call in enumerate(answered.calls)]
    return items


def response_usage(entries: Sequence[facts.Entry], answered: facts.Answered) -> schemas.ResponseUsage:
    """Return the token counts of a run, with those that its provider had cached."""
    usage = run_usage(entries)
    reasoning = usage.reasoning_tokens
    return schemas.ResponseUsage(
        input_tokens=usage.input_tokens,
        input_tokens_details=schemas.InputTokensDetails(cached_tokens=_cached_tokens(answered)),
        output_tokens=usage.output_tokens,
        output_tokens_details=schemas.OutputTokensDetails(
            reasoning_tokens=reasoning if isinstance(reasoning, int) else 0
        ),
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


def _cached_tokens(answered: facts.Answered) -> int:
    match base.provider_fields_for(answered, "openai", "usage"):
        case {"prompt_tokens_details": {"cached_tokens": int(cached)}}:
            return cached
        case _:
            return 0


def response_object(entries: Sequence[facts.Entry]) -> schemas.ResponseObject:
    """Return the state of a run."""
    match entries[-1].fact:
        case facts.Answered() as answered:
            reason = _INCOMPLETE_REASONS.get(answered.finish)
            return _build(
                entries,
                status=final_status(answered),
                output=output_items(entries),
                completed_at=int(entries[-1].at) if reason is None else None,
                incomplete_details=None if reason is None else schemas.IncompleteDetails(reason=reason),
                usage=response_usage(entries, answered),
            )
        case facts.Failed(code=code):
            _, ending = base.read_ending(entries)
            return failed_response(entries, code, ending.message if isinstance(ending, events.RunFailed) else "")
    has_started = any(isinstance(entry.fact, facts.Started) for entry in entries)
    return _build(entries, status="in_progress" if has_started else "queued", output=output_items(entries))


def pending_response(
    entries: Sequence[facts.Entry], status: Literal["queued", "in_progress"]
) -> schemas.ResponseObject:
    """Return the response object of a stream without output yet."""
    return _build(entries, status=status)


def failed_response(entries: Sequence[facts.Entry], code: facts.FailureCode, message: str) -> schemas.ResponseObject:
    """Return the response object of a failed run."""
    error = failure_body(code, message).error
    return _build(
        entries,
        status="cancelled" if code == "cancelled" else "failed",
        output=output_items(entries),
        error=schemas.ResponseError(code=error.code or code, message=error.message),
    )


def is_background(entries: Sequence[facts.Entry]) -> bool:
    """Return whether the request asked for a response that outlives its connection."""
    return stored_request(entries).parameters.get("background") is True


def _build(
    entries: Sequence[facts.Entry],
    *,
    status: schemas.ResponseStatus,
    output: tuple[schemas.OutputItem, ...] = (),
    completed_at: int | None = None,
    error: schemas.ResponseError | None = None,
    incomplete_details: schemas.IncompleteDetails | None = None,
    usage: schemas.ResponseUsage | None = None,
) -> schemas.ResponseObject:
    run = facts.run_terms(entries)
    request = stored_request(entries)
    return schemas.ResponseObject(
        id=f"{RESPONSE_PREFIX}{run.run_id}",
        created_at=int(entries[0].at),
        completed_at=completed_at,
        status=status,
        error=error,
        incomplete_details=incomplete_details,
        model=run.username,
        output=output,
        usage=usage,
        conversation=schemas.ConversationReference(id=run.conversation_id) if is_stored(request) else None,
        **request.parameters,
    )
