"""Responses of providers, whole or streamed: answers, HTTP errors, error objects and finish reasons.

The events of a stream are decoded and forwarded to the query as they arrive, under an idle timeout.
"""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from persona_stream.backends.providers import base, errors, transport
from persona_stream.core.clock import Clock
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Answer, Finish, Query
from persona_stream.core.sse import EventTooLarge, ServerSentEvent, SSEDecoder, parse_retry_after


def loads_lenient(text: bytes | str) -> object:
    """Parse untrusted JSON; return ``None`` if it is invalid.

    Lone surrogates and ``NaN`` are accepted, so that one odd field does not cost the rest of an answer.
    """
    try:
        # Several times as fast, and stricter.
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_KIND_BY_STATUS: Mapping[int, errors.ErrorKind] = {
    401: "credentials",
    402: "credit",
    403: "credentials",
    404: "model",
    408: "timeout",
    413: "too_long",
    429: "rate_limited",
    503: "busy",
    504: "timeout",
    529: "busy",
}
# What the words of an error may turn its status into: a proxy answers 403 for the content filter behind it.
_SPECIFIC_KINDS: Mapping[int, Set[errors.ErrorKind]] = {
    401: frozenset({"credit"}),
    403: frozenset({"filtered", "credit", "model", "too_long"}),
    404: frozenset({"filtered"}),
    413: frozenset({"rate_limited"}),
    429: frozenset({"credit"}),
    **dict.fromkeys((402, 408, 503, 504, 529), frozenset()),
}
_SPECIFIC_FAILURES: Set[errors.ErrorKind] = frozenset({"too_long", "filtered", "credit", "rate_limited", "busy"})
# Errors of the request or of the account: neither another attempt nor another time would help.
_LASTING_KINDS: Set[errors.ErrorKind] = frozenset({"credit", "credentials", "model", "too_long", "filtered"})
# A prompt may be too long beside the requested tokens only.
_REJECTIONS: Set[errors.ErrorKind] = frozenset({"refused", "failed", "too_long"})
_REJECTED_STATUSES = (400, 422, 500)  # some gateways answer 500 for any error behind them


def error_from_response(
    response: transport.Response, status: int, error: errors.ProviderErrorObject | None, adapter: base.ProviderAdapter
) -> errors.ProviderError:
    """Build the error for an unsuccessful response, which means the HTTP ``status``, from 300 on."""
    error = error or errors.ProviderErrorObject()
    kind = _error_kind(status, error)
    headers = response.headers
    location = headers.get("Location")
    target = f" to {errors.quote(location.encode())}" if location else ""
    retry_after = parse_retry_after(headers.get("Retry-After"))
    if retry_after is None and (milliseconds := parse_retry_after(headers.get("retry-after-ms"))) is not None:
        retry_after = milliseconds / 1000
    is_lasting = kind in _LASTING_KINDS
    return errors.ProviderError(
        kind,
        f"status {response.status}{target}: {errors.quote(response.body)}",
        # OpenAI's clients obey this header, and gateways send it for errors that a retry would only repeat.
        retryable=status in adapter.retryable_statuses and not is_lasting and headers.get("x-should-retry") != "false",
        fallback_allowed=(status == 429 or status >= 500) and kind not in ("too_long", "filtered"),
        is_outage=status >= 500 and not is_lasting,
        retry_after=error.retry_after if retry_after is None else retry_after,
        rejection=error if kind in _REJECTIONS and status in _REJECTED_STATUSES else None,
    )


def _error_kind(status: int, error: errors.ProviderErrorObject) -> errors.ErrorKind:
    if error.kind is not None:
        return error.kind
    # Redirects are not followed: the API key would be sent to their target.
    if status < 400:
        return "unreachable"
    kind = errors.find_kind(error.words)
    if kind in _SPECIFIC_KINDS.get(status, {kind} if status < 500 else _SPECIFIC_FAILURES) and kind is not None:
        return kind
    if status in (400, 422) and errors.mentions_context(error.words):
        return "too_long"
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    return "failed" if status >= 500 else "refused"


def requested_choices(query: Query) -> int:
    """Return how many choices the client requested."""
    choices = query.parameters.get("n")
    return choices if isinstance(choices, int) else 1


def parse_response(response: transport.Response, adapter: base.ProviderAdapter, choices: int = 1) -> Answer:
    """Parse the answer in a whole response, for the number of choices that the client requested.

    Raises:
        ProviderError: it contains no answer.
    """
    parsed = loads_lenient(response.body)
    error = adapter.parse_error(parsed)
    if not 200 <= response.status < 300:
        raise error_from_response(response, response.status, error, adapter)
    if error is not None:
        raise error_from_response(response, error.status, error, adapter)
    try:
        return adapter.parse_completion(parsed, choices)
    except errors.ProviderError as failure:
        raise errors.ProviderError(failure.kind, f"{failure.detail}: {errors.quote(response.body)}") from None


_REASONS: Mapping[Finish, str] = {
    "stop": "stop end_turn stop_sequence pause_turn end eos eos_token end_of_turn complete completed finished done"
    " normal stop_token stop_token_ids",
    "length": "length max_tokens max_token max_length max_output_tokens max_new_tokens model_length token_limit limit"
    " context_length model_context_window_exceeded context_window_exceeded error_limit truncated incomplete",
    "tools": "tools tool_use tool_uses tool_call tool_calls function_call",
    "filter": "filter content_filter content_filtered refusal safety recitation blocklist prohibited_content spii"
    " sensitive image_safety language other guardrail_intervened guardrail guardrails error_toxic blocked"
    " content_policy moderation",
}
_FINISH_BY_REASON = {reason: finish for finish, reasons in _REASONS.items() for reason in reasons.split()}
# Reasons that stand for errors. Whatever text came before is not the answer.
_FAILED_REASONS: Mapping[str, errors.ErrorKind] = {
    "error": "failed",
    "network_error": "failed",
    "internal_error": "failed",
    "malformed_function_call": "failed",
    "unexpected_tool_call": "failed",
    "insufficient_system_resource": "busy",
    "overloaded": "busy",
    "abort": "broken_off",
    "aborted": "broken_off",
    "cancelled": "broken_off",
    "canceled": "broken_off",
    "user_cancel": "broken_off",
    "timeout": "timeout",
}
_UNKNOWN_REASONS: Sequence[tuple[re.Pattern[str], Finish]] = [
    (re.compile("token|length|limit|truncat|cut"), "length"),
    (re.compile("filter|safety|polic|block|sensitive|moderat|prohibit|refus|guard|violat"), "filter"),
]
_NO_REASONS = frozenset({"", "null", "none", "undefined", "unspecified", "unfinished"})


def normalize_finish_reason(reason: object) -> str:
    """Return a finish reason in the spelling of the tables above; an empty string if the answer has not ended.

    Gateways forward the reasons of the providers behind them as they are (``MAX_TOKENS``), with a prefix
    (``FINISH_REASON_SAFETY``) or with details (``content_filter: PROHIBITED_CONTENT``), and ``"null"`` before the end.
    """
    if not isinstance(reason, str):
        return ""
    name = re.sub(r"[\s-]+", "_", reason.partition(":")[0].strip().lower())
    name = name.removeprefix("finish_reason_").removeprefix("finishreason.").removeprefix("stop_reason_")
    return "" if name in _NO_REASONS else name


def map_finish_reason(reason: object, *, text: str, has_calls: bool, logger: logging.Logger, field: str) -> Finish:
    """Map a provider's finish reason; an answer with tool calls ends in ``tools`` for any other normal reason.

    An unknown reason is logged with ``field``, the provider's name for it, and counts as an early end if its name says
    so. What was cut or filtered is never ``stop``.

    Raises:
        ProviderError: the answer is empty, or failed. One that reached the client's token limit before its first word
            is not empty.
    """
    name = normalize_finish_reason(reason)
    if name in _FAILED_REASONS:
        raise errors.ProviderError(_FAILED_REASONS[name], f"{field} {reason!r:.100}", fallback_allowed=True)
    if name in _FINISH_BY_REASON:
        finish = _FINISH_BY_REASON[name]
    else:
        finish = next((finish for pattern, finish in _UNKNOWN_REASONS if pattern.search(name)), "stop")
        if name:
            logger.warning("unknown %s %.100r: the answer counts as ended by %r", field, reason, finish)
    if not (text.strip() or has_calls or finish == "length"):
        raise errors.ProviderError("filtered" if finish == "filter" else "empty", f"no text, {field} {reason!r:.100}")
    if finish in ("stop", "tools"):
        return "tools" if has_calls else "stop"
    return finish


def unknown_fields(value: object, known: Set[str]) -> dict[str, Any]:
    """Return the fields of an object that are neither known nor ``null``."""
    if not isinstance(value, Mapping):
        return {}
    return {name: item for name, item in value.items() if name not in known and item is not None}


def provider_fields(protocol: str, sections: Mapping[str, Any]) -> ProviderFields | None:
    """Return the sections of unknown fields that are not empty; ``None`` if all are."""
    found = {name: fields for name, fields in sections.items() if fields}
    return ProviderFields(protocol, found) if found else None


def string_or_empty(value: object) -> str:
    """Return an untrusted value if it is a string, and an empty string otherwise."""
    return value if isinstance(value, str) else ""


MAX_EVENT_CHARS = 4 * 2**20
DELTA_OVERHEAD_CHARS = 32  # memory of each delta beside its text, so that many short ones reach the limit too

# After the finish reason only the usage and the end mark may follow.
TRAILER_TIMEOUT = 5.0  # seconds
# After the end mark the body ends at once; waiting for that lets the connection be reused.
CLOSE_TIMEOUT = 0.25  # seconds

# Forwarding each token on its own would only cost CPU time.
COALESCE_INTERVAL = 0.05  # seconds

_BLANK = b"\xef\xbb\xbf \t\r\n"


class IdleTimeout:
    """Timer that aborts a stream, in a thread of its own (under gevent: a greenlet) from the first ``reset`` on.

    The socket's timeout does not serve: it is set before the provider decides whether to stream, and keep-alive
    comments restart it.

    Attributes:
        expired: whether the stream was aborted.
    """

    def __init__(self, abort: Callable[[], object], clock: Clock) -> None:
        self._abort = abort
        self._clock = clock
        self._expires_at = 0.0
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._is_stopped = False
        self.expired = False

    def __enter__(self) -> "IdleTimeout":
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_stopped = True
        self._changed.set()
        # In a native thread, a greenlet that nothing waits for would not run any more.
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def reset(self, seconds: float) -> None:
        """Restart the timer."""
        expires_at = self._clock() + seconds
        is_sooner = expires_at < self._expires_at
        self._expires_at = expires_at
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="idle-timeout", daemon=True)
            self._thread.start()
        elif is_sooner:
            self._changed.set()

    def _watch(self) -> None:
        while not self._is_stopped:
            time_left = self._expires_at - self._clock()
            if time_left <= 0:
                self.expired = True
                self._abort()
                return
            self._changed.wait(time_left)
            self._changed.clear()


def read_prefix(chunks: Iterator[bytes]) -> bytes:
    """Read chunks of a body until one contains more than white space; return it without leading white space."""
    for chunk in chunks:
        if prefix := chunk.lstrip(_BLANK):
            return prefix
    return b""


def is_stream(prefix: bytes) -> bool:
    """Return whether a body can be an event stream, by its first character: JSON and HTML cannot."""
    return bool(prefix) and prefix[:1] not in b"{[<"


class _LenientSSEDecoder(SSEDecoder):
    """Decoder that also accepts an ``error`` field, as llama.cpp had it, and JSON in place of a field."""

    def _process_field(self, line: str) -> None:
        if line.startswith("error:"):
            super()._process_field("event: error")
            line = f"data: {line.removeprefix('error:')}"
        elif line.startswith("{"):
            line = f"data: {line}"
        super()._process_field(line)


@dataclass(slots=True)
class StreamReader:
    """Reader of one stream for one query.

    Attributes:
        adapter: the API format.
        query: receives the text and the reasoning.
        clock: returns the time in seconds.
        idle_timeout: how long the stream may stay silent after its first content, in seconds.
        max_chars: how much more of the stream may be kept.
        coalesce: waits for more of the stream.
    """

    adapter: base.ProviderAdapter
    query: Query
    clock: Clock
    _: KW_ONLY
    idle_timeout: float
    max_chars: int
    coalesce: Callable[[float], object] = lambda seconds: None
    _decoder: base.StreamDecoder = field(init=False)
    _has_ended: bool = field(init=False, default=False)
    _has_events: bool = field(init=False, default=False)
    _has_output: bool = field(init=False, default=False)
    _extras: list[Mapping[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._decoder = self.adapter.stream_decoder(requested_choices(self.query))

    def read(self, response: transport.StreamedResponse, prefix: bytes) -> Answer:
        """Read the stream to its end and return the part of the answer that was not forwarded.

        ``prefix`` is the part of the body that was read before.

        Raises:
            ProviderError: the stream failed, broke off, timed out, cannot be parsed, or contained no answer.
        """
        try:
            with IdleTimeout(response.abort, self.clock) as timer:
                self._forward(response, prefix, timer)
            return self._decoder.result()
        except errors.ProviderError as error:
            raise (error.after_partial_output() if self._has_output else error) from None

    def _forward(self, response: transport.StreamedResponse, prefix: bytes, timer: IdleTimeout) -> None:
        events = _LenientSSEDecoder(MAX_EVENT_CHARS)
        timeout = self.idle_timeout
        for chunk in self._iter_chunks(response, prefix, timer):
            if self._decoder.is_closed:
                continue
            deltas: list[base.StreamDelta] = []
            try:
                for event in events.feed(chunk):
                    deltas += self._decode(event)
            except EventTooLarge as error:
                raise errors.ProviderError("too_large", str(error)) from None
            finally:
                self._send(deltas)
            previous_timeout = timeout
            timeout = self._current_timeout()
            if deltas or timeout != previous_timeout:
                timer.reset(timeout)
            if deltas and not (self._decoder.is_complete or response.has_buffered_data()):
                self.coalesce(COALESCE_INTERVAL)

    def _iter_chunks(self, response: transport.StreamedResponse, prefix: bytes, timer: IdleTimeout) -> Iterator[bytes]:
        yield prefix
        try:
            for chunk in response.chunks:
                # Bytes that are read after an abort may not have been decrypted.
                if timer.expired:
                    break
                yield chunk
        except errors.ProviderError:
            if not (self._decoder.is_complete or timer.expired):
                raise
        if not (self._decoder.is_complete or timer.expired):
            self._has_ended = True
            yield b"\n\n"  # some providers end the body without the blank line of its last event
        if self._decoder.is_complete:
            return
        if timer.expired:
            raise errors.ProviderError("timeout", f"silent for {self.idle_timeout:.0f} s")
        if not self._has_events and "event-stream" not in response.headers.get("Content-Type", ""):
            raise errors.ProviderError("unreadable", f"not an event stream: {errors.quote(prefix)}")
        raise errors.ProviderError(
            "broken_off", "the stream ended before the answer did", retryable=True, fallback_allowed=True
        )

    def _decode(self, event: ServerSentEvent) -> Iterable[base.StreamDelta]:
        self._has_events = True
        data = event.data.strip()
        if self._decoder.is_closed or not data:
            return ()
        if data == b"[DONE]":
            self._decoder.close()
            return ()
        parsed = loads_lenient(data)
        error = self.adapter.parse_error(parsed)
        if error is None and event.event == "error":
            error = errors.ProviderErrorObject()
        if error is not None:
            response = transport.Response(200, {}, data)
            raise error_from_response(response, error.status, error, self.adapter)
        if not isinstance(parsed, dict) and self._has_ended:
            return ()  # cut
        if not isinstance(parsed, dict):
            raise errors.ProviderError("unreadable", f"unexpected event: {errors.quote(data)}")
        return self._decoder.feed(parsed)

    def _send(self, deltas: Sequence[base.StreamDelta]) -> None:
        for kind, group in groupby(deltas, key=attrgetter("kind")):
            group_list = list(group)
            texts = [delta.text for delta in group_list]
            text = "".join(texts)
            self.max_chars -= len(text) + DELTA_OVERHEAD_CHARS * len(texts)
            if self.max_chars < 0:
                raise errors.ProviderError("too_large", "the stream exceeds the size limit")
            self._extras += [delta.fields for delta in group_list if delta.fields]
            if kind != "rest":
                self._has_output = True
            # Before the first output another attempt may follow, with fields of its own.
            if self._has_output:
                for fields in self._extras:
                    self.query.send_extras(ProviderFields(self.adapter.name, fields))
                self._extras.clear()
            if kind != "rest":
                send = self.query.send if kind == "text" else self.query.send_reasoning
                send(text)

    def _current_timeout(self) -> float:
        if self._decoder.is_closed:
            return CLOSE_TIMEOUT
        return min(TRAILER_TIMEOUT, self.idle_timeout) if self._decoder.is_complete else self.idle_timeout
