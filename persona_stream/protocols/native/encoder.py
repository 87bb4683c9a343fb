"""Native protocol, as described in docs/api/stream.md: JSON events with a status, in three styles."""

import re
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from persona_stream.core import events, i18n, projection, query, snapshot, sse
from persona_stream.core.facts import Entry, run_terms
from persona_stream.protocols import base
from persona_stream.protocols.native import schemas

NativeEvent = (
    events.RunOpened
    | events.QueuePosition
    | events.Progress
    | events.InputRequired
    | events.AnswerReady
    | events.ReasoningChunk
    | events.TextChunk
    | events.ToolCalled
    | events.Completed
    | events.RunFailed
)


class NativeEncoder:
    """Encoder of the native events of one run for one subscriber."""

    __slots__ = ("_events_url", "_locale", "_run_id", "_style")

    def __init__(self, run_id: str, events_url: str, style: projection.StreamStyle, locale: query.Locale) -> None:
        self._run_id = run_id
        self._events_url = events_url
        self._style = style.name
        self._locale = locale

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the one message of an event; none for fields of a provider, which has another protocol."""
        if isinstance(event, events.ProviderChunk):
            return ()
        facts, characters = event.position
        # The most frequent event skips the match.
        frame = self._chunk(event) if isinstance(event, events.TextChunk) else self._frame(event)
        return (sse.ServerSentEvent(base.dump_json(frame), id=f"{self._run_id}/{facts}.{characters}"),)

    def _frame(self, event: NativeEvent) -> schemas.Frame:
        match event:
            case events.InputRequired():
                return schemas.InputRequiredFrame(
                    input_id=event.input_id,
                    message=event.message,
                    choices=schemas.choices_of(event.choices),
                    expires_in=round(event.expires_in, 1),
                    elapsed_time=round(event.elapsed, 1),
                )
            case events.Progress(message=message, percent=percent, elapsed=elapsed, eta=eta):
                return schemas.ProcessingFrame(
                    message=message, progress=percent, elapsed_time=round(elapsed, 1), eta=_rounded(eta)
                )
            case events.QueuePosition(queue_position=queue_position, elapsed=elapsed, eta=eta):
                return schemas.QueuedFrame(position=queue_position, elapsed_time=round(elapsed, 1), eta=_rounded(eta))
            case events.RunOpened():
                return self._opening(event)
            case events.AnswerReady(seconds=seconds):
                message = i18n.answer_ready_text(self._locale, seconds)
                return schemas.ProcessingCompleteFrame(message=message, total_processing_time=round(seconds, 1))
            case events.ReasoningChunk(text=text):
                return schemas.ReasoningFrame(reasoning=text)
            case events.ToolCalled(call=call):
                return schemas.ToolCallFrame(tool_call=schemas.tool_call_view(call))
            case events.Completed(seconds=seconds, ending=ending):
                total = round(seconds, 1) if self._style == "smart" else UNSET
                usage = UNSET if ending.usage is None else ending.usage
                return schemas.CompleteFrame(
                    total_time=total,
                    usage=usage,
                    finish=schemas.finish_of(ending),
                    cached=schemas.cached_of(ending),
                )
            case events.RunFailed():
                return schemas.failure_frame(event)
            case events.TextChunk():
                return self._chunk(event)

    def _opening(self, event: events.RunOpened) -> schemas.OpeningFrame:
        is_smart = self._style == "smart"
        return schemas.OpeningFrame(
            status="connecting" if self._style == "basic" else "initializing",
            message=i18n.translation(i18n.INITIALIZING, self._locale) if is_smart else UNSET,
            progress=snapshot.START_PERCENT if is_smart else UNSET,
            run_id=self._run_id,
            conversation_id=event.conversation_id,
            interval=event.interval,
            deadline=event.deadline,
            resume_for=event.resume_for,
            events_url=self._events_url,
        )

    def _chunk(self, chunk: events.TextChunk) -> schemas.Frame:
        if self._style == "advanced":
            return schemas.AdvancedChunkFrame(data=chunk.text, chunk_number=chunk.number)
        total = chunk.total
        percent = round(100.0 * chunk.delivered / total, 1) if total else None
        if self._style == "smart":
            return schemas.SmartChunkFrame(data=chunk.text, chunk_number=chunk.number, streaming_progress=percent)
        return schemas.BasicChunkFrame(
            data=chunk.text, progress=percent, total_length=total, current_position=chunk.delivered
        )


def _rounded(seconds: float | None) -> float | UnsetType:
    return UNSET if seconds is None else round(seconds, 1)


# The streaming endpoints, also with an unknown suffix: their clients parse events only.
_STREAM_PATH = re.compile(r"/api/stream_chat.*|/api/runs/.*/events", re.DOTALL)


class NativeProtocol(base.WireProtocol):
    """The product's own protocol; it answers every path that no other protocol claims."""

    name = "native"
    default_locale = "zh"
    path_prefixes = ("/",)
    run_endpoints = ("/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart", "/api/chat")
    has_styles = True

    def encoder(self, entries: Sequence[Entry], options: base.EncoderOptions) -> NativeEncoder:
        """Return a new encoder for one subscriber."""
        return NativeEncoder(run_terms(entries).run_id, options.events_url, options.style, options.locale)

    def response(self, entries: Sequence[Entry]) -> tuple[int, schemas.ChatAnswer | schemas.TerminalFrame]:
        """Return the HTTP status and the body of a run that has ended."""
        snapshot, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return base.http_status_for(ending.code), schemas.failure_frame(ending)
        return 200, schemas.ChatAnswer(
            data=snapshot.text,
            run_id=snapshot.run.run_id,
            conversation_id=snapshot.run.conversation_id,
            total_time=round(entries[-1].at - snapshot.accepted_at, 1),
            usage=ending.usage,
            finish=schemas.finish_of(ending),
            tool_calls=schemas.tool_calls_of(ending),
            cached=schemas.cached_of(ending),
        )

    def error(self, error: base.ErrorInfo) -> schemas.ErrorFrame:
        """Return the body of an error response."""
        return schemas.ErrorFrame(error=error.message, code=error.code)

    def streams_error(self, path: str) -> bool:
        """Return whether the path is a streaming endpoint."""
        return _STREAM_PATH.fullmatch(path) is not None


NATIVE = NativeProtocol()
