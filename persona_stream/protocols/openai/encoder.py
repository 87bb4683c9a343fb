"""OpenAI's chat protocol: completion chunks in streams, and whole completions.

While the backend works, progress is sent as comments, which the official clients skip; or, as Open WebUI and llama.cpp
display it, in chunks with an empty delta. Such a chunk always has a choice: naive clients read ``choices[0]`` of each.

``ProviderFields.fields`` of an OpenAI-compatible provider has the sections ``message`` (fields of the answer's
message), ``choice`` (fields beside it, such as ``logprobs``), ``choices`` (the other choices), ``completion`` (fields
of the body and of the last chunk) and ``usage`` (fields beside the token counts).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from persona_stream.core import events, facts, i18n, query, sse
from persona_stream.core.usage import run_usage
from persona_stream.protocols import base
from persona_stream.protocols.openai import schemas


def completion_usage(usage: query.Usage) -> schemas.CompletionUsage:
    """Return token counts in this protocol's form, which cannot mark them as estimates."""
    return schemas.CompletionUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        completion_tokens_details=(
            schemas.CompletionTokensDetails(reasoning_tokens=usage.reasoning_tokens)
            if isinstance(usage.reasoning_tokens, int)
            else UNSET
        ),
    )


def with_provider_fields(body: Struct, answered: facts.Answered, section: str) -> Any:
    """Return a body with the provider's own fields of a section added; the body's own fields win."""
    return base.merge_fields(body, base.provider_fields_for(answered, "openai", section))


def usage_of(entries: Sequence[facts.Entry], answered: facts.Answered) -> Any:
    """Return the token counts of a run with the provider's own details."""
    usage = completion_usage(run_usage(entries))
    if "completion_tokens_details" in base.provider_fields_for(answered, "openai", "usage"):
        usage = structs.replace(usage, completion_tokens_details=UNSET)
    return with_provider_fields(usage, answered, "usage")


def other_choices(answered: facts.Answered) -> Sequence[Mapping[str, Any]]:
    """Return the choices of a provider beside the answer, if the request asked for several."""
    others = base.provider_fields_for(answered, "openai", "choices").get("others", ())
    return [choice for choice in others if isinstance(choice, Mapping) and isinstance(choice.get("message"), Mapping)]


def _to_chunk_choice(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a whole choice as one of a stream, with everything in one delta."""
    calls = choice["message"].get("tool_calls", ())
    message = dict(choice["message"])
    if calls:
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    rest = {name: value for name, value in choice.items() if name != "message"}
    return {"index": choice.get("index"), "delta": message, **rest}


class OpenAIEncoder:
    """Encoder of the chunks of one completion for one subscriber.

    Args:
        entries: Journal of the run.
        include_usage: Whether the client requested a last chunk with token counts.
        heartbeat: Form of progress: comments with an empty delta now and then, empty deltas, statuses, or nothing.
        return_progress: Whether each heartbeat is a chunk with the percentage, unless ``heartbeat`` is ``off``.
        locale: Language of statuses.
    """

    __slots__ = (
        "_created", "_entries", "_fillers", "_has_provider_fields", "_has_text", "_heartbeat", "_id", "_include_usage",
        "_is_refusal", "_locale", "_model", "_open_status", "_return_progress",
    )  # fmt: skip
    id_prefix = "chatcmpl-"

    def __init__(
        self,
        entries: Sequence[facts.Entry],
        *,
        include_usage: bool = False,
        heartbeat: base.Heartbeat = "comment",
        return_progress: bool = False,
        locale: query.Locale = "en",
    ) -> None:
        run = facts.run_terms(entries)
        self._entries = entries
        self._include_usage = include_usage
        self._heartbeat = heartbeat
        self._return_progress = return_progress and heartbeat != "off"
        self._locale = locale
        self._id = f"{self.id_prefix}{run.run_id}"
        self._created = int(entries[0].at)
        self._model = run.username
        # A subscriber that resumes does not receive the facts before its position again.
        deltas = [entry.fact for entry in entries if isinstance(entry.fact, facts.ProviderDelta)]
        self._has_provider_fields = bool(deltas)
        self._is_refusal = any("refusal" in fields for delta in deltas for fields in delta.fields)
        self._fillers = base.FillerTimer()
        self._open_status = ""  # the last status, until one says that it was the last
        self._has_text = False

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event."""
        match event:
            case events.TextChunk(text=text):
                self._has_text = True
                chunk = self._text(text)
                return (*self._close_status(self._open_status), chunk) if self._open_status else (chunk,)
            case events.Progress(elapsed=elapsed, percent=percent, message=message):
                return self._progress(elapsed, percent, base.progress_comment(event), f"{message} {percent}%")
            case events.QueuePosition(elapsed=elapsed, queue_position=queue_position):
                status = i18n.queued_text(self._locale, queue_position)
                return self._progress(elapsed, 0, base.progress_comment(event), status)
            case events.RunOpened():
                return (self._delta(schemas.ChatDelta(role="assistant", content="")),)
            case events.AnswerReady(seconds=seconds):
                self._has_text = True
                return self._close_status(
                    i18n.answered_text(self._locale, seconds), self._prompt_progress(seconds, 100)
                )
            case events.ReasoningChunk(text=text):
                return (self._delta(schemas.ChatDelta(reasoning_content=text)),)
            case events.ProviderChunk(fields=parts):
                return [self._provider_delta(part) for part in parts]
            case events.ToolCalled():
                return ()  # a delta before the finish reason has all of them
            case events.Completed(ending=ending):
                return (*self._ending(ending), base.DONE)
            case events.RunFailed(code=code, message=message):
                error = sse.ServerSentEvent(base.dump_json(schemas.failure_body(code, message)))
                return (*self._close_status(message), error, base.DONE)

    def _provider_delta(self, fields: Mapping[str, Any]) -> sse.ServerSentEvent:
        self._has_provider_fields = True
        self._is_refusal |= "refusal" in fields
        return self._chunk([{"index": 0, "delta": fields, "logprobs": None, "finish_reason": None}])

    def _text(self, text: str) -> sse.ServerSentEvent:
        ending = self._entries[-1].fact
        if self._is_refusal or (isinstance(ending, facts.Answered) and ending.finish == "refusal"):
            return self._delta(schemas.ChatDelta(refusal=text))
        return self._delta(schemas.ChatDelta(content=text))

    def _progress(self, elapsed: float, percent: int, text: str, status: str) -> Sequence[sse.ServerSentEvent]:
        """Return the heartbeat for a tick: ``text`` in a comment, or ``status`` in a chunk."""
        if self._heartbeat == "off":
            return ()
        reports = self._heartbeat == "status" or self._return_progress
        if reports and not self._has_text:
            self._open_status = status
            return (self._status(status, done=False, prompt_progress=self._prompt_progress(elapsed, percent)),)
        if reports or self._heartbeat == "delta":
            return (self._delta(schemas.ChatDelta()),)
        comment = sse.ServerSentEvent(comment=text)
        return (comment, self._delta(schemas.ChatDelta())) if self._fillers.is_due(elapsed) else (comment,)

    def _close_status(
        self, description: str, prompt_progress: schemas.PromptProgress | UnsetType = UNSET
    ) -> Sequence[sse.ServerSentEvent]:
        """Return the last status, if there was one: clients show the activity until then."""
        if not self._open_status:
            return ()
        self._open_status = ""
        return (self._status(description, done=True, prompt_progress=prompt_progress),)

    def _prompt_progress(self, elapsed: float, percent: int) -> schemas.PromptProgress | UnsetType:
        if not self._return_progress:
            return UNSET
        return schemas.PromptProgress(processed=percent, time_ms=int(elapsed * 1000))

    def _status(
        self, description: str, *, done: bool, prompt_progress: schemas.PromptProgress | UnsetType
    ) -> sse.ServerSentEvent:
        event: schemas.StatusEvent | UnsetType = UNSET
        if self._heartbeat == "status":
            event = schemas.StatusEvent(data=schemas.StatusData(description=description, done=done))
        choice = schemas.ChunkChoice(delta=schemas.ChatDelta())
        return self._chunk([choice], event=event, prompt_progress=prompt_progress)

    def _ending(self, answered: facts.Answered) -> Iterator[sse.ServerSentEvent]:
        for index, call in enumerate(answered.calls):
            yield self._delta(schemas.ChatDelta(tool_calls=[schemas.function_call_delta(index, call)]))
        known = schemas.ChatDelta.__struct_fields__
        fields = base.provider_fields_for(answered, "openai", "message")
        extra = {name: value for name, value in fields.items() if name not in known}
        if extra and not self._has_provider_fields:  # else they were sent as they came
            yield self._provider_delta(extra)
        last = schemas.ChunkChoice(delta=schemas.ChatDelta(), finish_reason=schemas.FINISH_REASONS[answered.finish])
        yield self._chunk([with_provider_fields(last, answered, "choice")], answered=answered)
        for choice in other_choices(answered):
            yield self._chunk([_to_chunk_choice(choice)])
        if self._include_usage:
            yield self._chunk([], usage=usage_of(self._entries, answered))

    def _delta(self, delta: schemas.ChatDelta) -> sse.ServerSentEvent:
        return self._chunk([schemas.ChunkChoice(delta=delta)])

    def _chunk(
        self, choices: list[Any], usage: Any = None, answered: facts.Answered | None = None, **members: Any
    ) -> sse.ServerSentEvent:
        chunk = schemas.ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage if self._include_usage else UNSET,
            **members,
        )
        body = with_provider_fields(chunk, answered, "completion") if answered else chunk
        return sse.ServerSentEvent(base.dump_json(body))


class OpenAIProtocol(base.WireProtocol):
    """OpenAI's chat completions."""

    name = "openai"
    path_prefixes = ("/v1/", "/v1/chat/", "/v1/completions")
    run_endpoints = ("/v1/chat/completions", "/v1/completions")
    request_id_header = "x-request-id"
    retries_conflicts = True

    def encoder(self, entries: Sequence[facts.Entry], options: base.EncoderOptions) -> OpenAIEncoder:
        """Return a new encoder for one subscriber."""
        return OpenAIEncoder(
            entries,
            include_usage=options.include_usage,
            heartbeat=options.heartbeat,
            return_progress=options.return_progress,
            locale=options.locale,
        )

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        snapshot, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return base.http_status_for(ending.code), schemas.failure_body(ending.code, ending.message)
        is_refusal = ending.finish == "refusal"
        message = schemas.ChatMessage(
            content=None if is_refusal else snapshot.text or (None if ending.calls else ""),
            refusal=snapshot.text if is_refusal else None,
            reasoning_content=snapshot.reasoning or UNSET,
            tool_calls=[schemas.function_call(call) for call in ending.calls] or UNSET,
        )
        choice = schemas.ChatChoice(
            message=with_provider_fields(message, ending, "message"),
            finish_reason=schemas.FINISH_REASONS[ending.finish],
        )
        choices: list[Any] = [with_provider_fields(choice, ending, "choice"), *other_choices(ending)]
        body = schemas.ChatCompletion(
            id=f"{OpenAIEncoder.id_prefix}{snapshot.run.run_id}",
            created=int(snapshot.accepted_at),
            model=snapshot.run.username,
            choices=choices,
            usage=usage_of(entries, ending),
        )
        return 200, with_provider_fields(body, ending, "completion")

    def error(self, error: base.ErrorInfo) -> schemas.ErrorBody:
        """Return the body of an error response."""
        return schemas.error_body(error)


OPENAI = OpenAIProtocol()
