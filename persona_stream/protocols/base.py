"""The contract of a wire protocol, and helpers that all protocols share.

Adding a protocol takes a subclass of ``WireProtocol`` in a folder of its own, one line in ``registry.py`` and a route.

Invariants:

- A protocol returns ``ServerSentEvent`` values and bodies; the transport turns them into bytes.
- A protocol is pure: it performs no I/O and reads no clock.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import Struct

from persona_stream.core import cursor, events, facts, i18n, projection, query, sse
from persona_stream.core.content import MAX_SLICE_CHARACTERS, fields_for, slices
from persona_stream.core.snapshot import RunSnapshot, take_snapshot

Heartbeat = Literal["comment", "delta", "status", "keepalive", "progress", "off"]


class ErrorInfo(Struct, frozen=True):
    """An error response before it has the form of a protocol.

    Attributes:
        status: HTTP status.
        code: Error code of the native protocol.
        message: Text for the client.
        field: Name of the invalid field, parameter or header, if there is one.
    """

    status: int
    code: str
    message: str
    field: str | None = None


class EncoderOptions(Struct, frozen=True, kw_only=True):
    """Settings of one subscription that change the form of its events.

    Attributes:
        style: Style of the stream.
        locale: Language of the texts that the encoder adds.
        events_url: URL at which the run can be read again.
        heartbeat: Form of progress on protocols that have no event for it.
        include_usage: Whether the client requested token counts at the end of the stream.
        return_progress: Whether the client requested progress in numbers, on protocols without progress events.
        starting_after: Number of the last event that the client has, on protocols that number their events.
        message_id: Id of the client's message that the answer continues; empty for a new message.
    """

    style: projection.StreamStyle
    locale: query.Locale
    events_url: str
    heartbeat: Heartbeat = "comment"
    include_usage: bool = False
    return_progress: bool = False
    starting_after: int | None = None
    message_id: str = ""


class EventEncoder(Protocol):
    """Encoder of the events of one run for one subscriber. May keep state between events."""

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event; none if the protocol has no form for it."""
        ...


class WireProtocol(Protocol):
    """A wire protocol: how events, whole responses and errors look to its clients.

    Subclass it to inherit the defaults.

    Attributes:
        name: Name in URLs, logs and metrics.
        path_prefixes: Path prefixes of requests in this protocol; the longest match over all protocols wins.
        run_endpoints: Paths that start runs.
        marker_header: Request header that selects this protocol on paths that several protocols share.
        request_id_header: Response header for the id of the request; empty if the protocol has none.
        retries_conflicts: Whether official clients retry a 409 unless ``x-should-retry`` says no.
        default_locale: Language of texts for a client that names none; the SDKs of other protocols are English.
        stream_headers: Further response headers of streams.
        has_styles: Whether events depend on the style and on the reasoning option of the request. Other protocols
            stream in style ``smart`` and always with reasoning.
    """

    name: ClassVar[str]
    path_prefixes: ClassVar[Sequence[str]]
    run_endpoints: ClassVar[Sequence[str]] = ()
    marker_header: ClassVar[str] = ""
    request_id_header: ClassVar[str] = ""
    retries_conflicts: ClassVar[bool] = False
    default_locale: ClassVar[query.Locale] = "en"
    stream_headers: ClassVar[Sequence[tuple[str, str]]] = ()
    has_styles: ClassVar[bool] = False

    def encoder(self, entries: Sequence[facts.Entry], options: EncoderOptions) -> EventEncoder:
        """Return a new encoder for one subscriber of a journal, which may grow while the encoder is in use."""
        ...

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended.

        Raises:
            TypeError: The run has not ended.
        """
        ...

    def error(self, error: ErrorInfo) -> object:
        """Return the body of an error response."""
        ...

    def streams_error(self, path: str) -> bool:
        """Return whether an error at this path is sent as one event, for clients that parse nothing else."""
        return False


DONE = sse.ServerSentEvent(b"[DONE]")
"""Last message of a stream, in OpenAI's protocols and in those that follow them."""


class FillerTimer:
    """Timer of the messages without news in a stream of comments.

    Some clients give up after two minutes without a message, and comments do not count.
    """

    INTERVAL: ClassVar[float] = 15.0  # seconds

    __slots__ = ("_intervals",)

    def __init__(self) -> None:
        self._intervals: int | None = None  # whole ones at the last tick

    def is_due(self, elapsed: float) -> bool:
        """Return whether an interval has ended since the last tick; the first tick only starts the timer."""
        intervals = int(elapsed / self.INTERVAL)
        is_due = self._intervals is not None and intervals > self._intervals
        self._intervals = intervals
        return is_due


def progress_comment(event: events.Progress | events.QueuePosition) -> str:
    """Return the progress of a run as a comment, for protocols without an event for it."""
    match event:
        case events.Progress(elapsed=elapsed, percent=percent, message=message):
            return f"processing {elapsed:.1f}s {percent}% {message}"
        case events.QueuePosition(elapsed=elapsed, queue_position=position):
            return f"queued {elapsed:.1f}s {position}"


_encode_json = msgspec.json.Encoder().encode


def dump_json(body: object) -> bytes:
    """Encode a body as compact JSON in UTF-8, with line separators escaped."""
    encoded = _encode_json(body)
    return encoded if encoded.isascii() else sse.escape_line_separators(encoded)


def typed_message(body: Struct) -> sse.ServerSentEvent:
    """Return the message of a body whose type, the tag of its Struct, is the name of the event too."""
    return sse.ServerSentEvent(dump_json(body), event=str(body.__struct_config__.tag))


def dump_long_json(body: object) -> bytes:
    """Encode a body with long texts, which are encoded in slices so that other threads run meanwhile."""
    return _encode_json(_encode_long_texts(msgspec.to_builtins(body)))


def _encode_long_texts(value: object) -> object:
    match value:
        case str() if len(value) > MAX_SLICE_CHARACTERS:
            return msgspec.Raw(b'"%b"' % b"".join(dump_json(part)[1:-1] for part in slices(value)))
        case dict():
            return {name: _encode_long_texts(each) for name, each in value.items()}
        case list() | tuple():
            return [_encode_long_texts(each) for each in value]
        case _:
            return value


def decode_arguments(arguments: str) -> Any:
    """Return the decoded arguments of a tool call.

    Raises:
        ValueError: They are not JSON, or cannot be encoded again.
    """
    try:
        decoded = msgspec.json.decode(arguments)
        _encode_json(decoded)  # not every number that can be decoded can be encoded
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError("the arguments are not valid JSON") from error
    return decoded


_STATUSES: Mapping[facts.FailureCode, HTTPStatus] = {
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "backend_error": HTTPStatus.BAD_GATEWAY,
    "context_length_exceeded": HTTPStatus.BAD_REQUEST,
    "content_filter": HTTPStatus.BAD_REQUEST,
    "model_not_found": HTTPStatus.NOT_FOUND,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "lost": HTTPStatus.BAD_GATEWAY,
    "cancelled": HTTPStatus.CONFLICT,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
}


def http_status_for(code: facts.FailureCode) -> int:
    """Return the HTTP status of a failed run."""
    return int(_STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR))


def read_ending(entries: Sequence[facts.Entry]) -> tuple[RunSnapshot, facts.Answered | events.RunFailed]:
    """Return the snapshot of a run that has ended, and its answer or its failure in the language of the run.

    Raises:
        TypeError: The run has not ended.
    """
    snapshot = take_snapshot(entries)
    match snapshot.ending:
        case facts.Answered() as answered:
            return snapshot, answered
        case facts.Failed(code=code, text=text, retry_after=retry_after):
            message = i18n.error_text(code, text, snapshot.run.locale)
            elapsed = snapshot.elapsed(entries[-1].at)
            return snapshot, events.RunFailed(cursor.BEGINNING, code, message, elapsed, retry_after)
        case None:
            raise TypeError(f"run {snapshot.run.run_id} has not ended")


def provider_fields_for(answered: facts.Answered, protocol: str, section: str) -> Mapping[str, Any]:
    """Return the provider's own fields for a section of a body; empty if the provider used another protocol."""
    fields = fields_for(answered.extras, protocol).get(section)
    return fields if isinstance(fields, Mapping) else {}


def merge_fields(body: Struct, fields: Mapping[str, Any]) -> Any:
    """Return a body with additional fields; the body's own fields win unless they are null."""
    if not fields:
        return body
    own = msgspec.to_builtins(body)
    return {**own, **{name: value for name, value in fields.items() if own.get(name) is None}}
