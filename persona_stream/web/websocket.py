"""WebSocket connections: many runs on one connection, with the events, errors and rules of Server-Sent Events.

Each message of a client becomes a request to the application: ``start`` to the stream of style smart, ``subscribe`` to
the events of a run, ``cancel`` to its cancellation, ``input`` to the answer to its question. So authentication and the
expiry of tokens, rate limits, admission, the log and all refusals are those of HTTP, and the events come from the same
streams.

Source: RFC 6455.

Invariants:

- ``advance`` and ``receive`` do not wait, except as ``EventStream.advance`` may; ``handle_messages`` may.
- Nothing is read from a client that does not read.
- A connection ends with a close frame, unless the client has left.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from flask import Response
from msgspec import Meta, Raw, Struct
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from persona_stream.core import sse
from persona_stream.core.clock import Clock
from persona_stream.errors import HTTPError, InvalidRequest, Overloaded
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.native.encoder import NATIVE
from persona_stream.web.connections import StreamRegistry
from persona_stream.web.delivery import EventStream

MAX_STREAMS = 1000  # of one connection
CLOSE_TIMEOUT = 2.0  # seconds for a client to answer a close frame
IDLE_TIMEOUT = 120.0  # seconds without a stream and without a frame of the client
MAX_BURST = 1000  # frames that a client may send at once
MAX_RATE = 100.0  # frames per second in the long run
_WRITE_BYTES = 64 * 1024  # size at which a long replay is written
_MAX_ID_BYTES = 256
_SERVICE_RESTART = 1012  # registered with IANA; the client connects again

_START_PATH = "/api/stream_chat_smart"
ROUTES = frozenset({
    ("POST", _START_PATH),
    ("GET", "/api/runs/<run_id>/events"),
    ("POST", "/api/runs/<run_id>/cancel"),
    ("POST", "/api/runs/<run_id>/input"),
})  # fmt: skip
"""Methods and URL patterns of the requests that messages become."""

Dispatch = Callable[[dict[str, Any], bytes], Response]
"""Returns the response to a request, which is given as a WSGI environment and a body."""

_HANDSHAKE_HEADERS = ("HTTP_CONNECTION", "HTTP_UPGRADE", "HTTP_ORIGIN", "HTTP_ACCEPT", "HTTP_IDEMPOTENCY_KEY")


class ClientMessage(Struct, frozen=True):
    """Message of a client. Unknown fields are ignored; `null` means absent."""

    type: Literal["start", "subscribe", "cancel", "input", "ping"]
    id: Raw = Raw(b"")  # comes back unchanged
    request: Raw = Raw(b"")
    run_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    last_event_id: str | None = None
    input_id: str | None = None
    value: str | None = None
    idempotency_key: str | None = None


_decoder = msgspec.json.Decoder(ClientMessage)
_id_decoder = msgspec.json.Decoder(str | int | None)


class RequestSender:
    """Sender of requests to the application on behalf of a WebSocket client.

    Args:
        dispatch: Dispatches requests for the ``ROUTES``.
        environ: WSGI environment of the handshake.
        token: Token of the client; empty if it has a ticket only.
        ticket: Ticket of a run; empty if the client has a token.
        verify: Verifies the token; raises ``HTTPError``.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        environ: Mapping[str, Any],
        *,
        token: str,
        ticket: str,
        verify: Callable[[str], object],
    ) -> None:
        self._dispatch = dispatch
        self._token = token
        self._ticket = ticket
        self._verify = verify
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith(("HTTP_SEC_WEBSOCKET_", "werkzeug.", "flask."))
            and name not in (*_HANDSHAKE_HEADERS, "HTTP_AUTHORIZATION", "HTTP_X_API_KEY")
        }
        if token:
            self._environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def start(self, body: bytes, idempotency_key: str | None) -> Response:
        """Start a run, and return its stream or a refusal."""
        return self._send("POST", _START_PATH, _key(idempotency_key), body)

    def subscribe(self, run_id: str, last_event_id: str | None) -> Response:
        """Return the stream of a run after a position, or a refusal."""
        query = urlencode({"ticket": self._ticket}) if self._ticket else ""
        headers = {"HTTP_LAST_EVENT_ID": last_event_id or ""}
        return self._send("GET", f"/api/runs/{quote(run_id, safe='')}/events", headers, query=query)

    def cancel(self, run_id: str) -> Response:
        """Cancel a run, and return its state or a refusal."""
        return self._send("POST", f"/api/runs/{quote(run_id, safe='')}/cancel", {})

    def answer(self, run_id: str, body: Mapping[str, str | None], idempotency_key: str | None) -> Response:
        """Answer a question of a run, and return its state or a refusal."""
        return self._send("POST", f"/api/runs/{quote(run_id, safe='')}/input", _key(idempotency_key), dump_json(body))

    def check(self) -> None:
        """Raise ``HTTPError`` if the token is no longer valid."""
        if not self._ticket:
            self._verify(self._token)

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", query: str = "") -> Response:
        environ = {
            **self._environ,
            **headers,
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "HTTP_ACCEPT": "application/json",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
        }
        return self._dispatch(environ, body)


def _key(idempotency_key: str | None) -> Mapping[str, str]:
    return {} if idempotency_key is None else {"HTTP_IDEMPOTENCY_KEY": idempotency_key}


class WebSocketStream:
    """Streams and messages of one WebSocket connection, after its handshake.

    The server calls ``receive`` with the bytes of the client, ``handle_messages`` in a greenlet if ``has_messages``,
    and ``advance`` like that of an ``EventStream``.

    Attributes:
        until: Moment at which more is due, unless ``on_wake`` is called before; ``None`` after the end.
        on_wake: Called when there may be more to send. Must not block.
        is_disconnected: Returns whether the client has disconnected; the server notices it while it reads.
        run_id: Empty: a connection has many runs.
    """

    run_id = ""

    def __init__(
        self,
        handshake: bytes,
        sender: RequestSender,
        *,
        registry: StreamRegistry,
        clock: Clock,
        max_message_bytes: int,
    ) -> None:
        """Create the streams of a connection; ``handshake`` is the response that opens it."""
        self._websocket = Connection(ConnectionType.SERVER)
        self._sender = sender
        self._registry = registry
        self._clock = clock
        self._max_message_bytes = max_message_bytes
        self._outbox = bytearray(handshake)
        self._inbox: deque[str] = deque()
        self._parts: list[str] = []  # of a message that is not complete
        self._parts_size = 0
        self._streams: dict[int, EventStream] = {}
        self._woken: set[int] = set()
        self._count = 0
        self._is_handling = False
        self._is_deaf = False  # whether further bytes of the client are ignored
        self._tokens = float(MAX_BURST)
        self._refilled_at = clock()
        self._active_at = clock()
        self._close_by = math.inf
        self.until: float | None = -math.inf
        self.on_wake: Callable[[], None] = _ignore
        registry.add(self._wake)

    def is_disconnected(self) -> bool:
        """Return false: the server notices the end of the connection while it reads."""
        return False

    @property
    def may_block(self) -> bool:
        """Whether ``advance`` may wait for a native thread."""
        # A loop rather than any(), which would take several times as long for the one stream that most clients have.
        for stream in self._streams.values():  # noqa: SIM110
            if stream.may_block:
                return True
        return False

    @property
    def has_messages(self) -> bool:
        """Whether ``handle_messages`` must be called."""
        return bool(self._inbox) and not self._is_handling

    @property
    def is_full(self) -> bool:
        """Whether nothing must be read from the client now."""
        return self._is_handling or bool(self._inbox) or len(self._outbox) > _WRITE_BYTES

    def advance(self) -> bytes:
        """Return the bytes that are due, perhaps none, and set ``until``."""
        now = self._clock()
        data = self._take_outbox() if self._outbox else b""
        if self._websocket.state is ConnectionState.OPEN:
            for key in tuple(self._streams):
                data += self._advance_stream(key, now)
                if len(data) >= _WRITE_BYTES:
                    break
            if not self._streams:
                self._close_if_unused(now)
            if self._outbox:
                data += self._take_outbox()
        self._set_until(now, is_long=len(data) >= _WRITE_BYTES)
        return data

    def _advance_stream(self, key: int, now: float) -> bytes:
        stream = self._streams.get(key)
        if stream is None:
            return b""
        if key in self._woken:
            self._woken.remove(key)
        elif stream.until is None or stream.until > now:
            return b""
        data = stream.advance()
        self._active_at = now
        if stream.until is None:
            self._streams.pop(key, None)
            stream.close()
        elif len(self._streams) > 1 and self._streams.pop(key, None) is not None:
            self._streams[key] = stream  # at the end: the others are next
        return data

    def _take_outbox(self) -> bytes:
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    def _close_if_unused(self, now: float) -> None:
        if self._inbox or self._is_handling:
            return
        if self._registry.is_handing_over:
            self._close(_SERVICE_RESTART, "the server restarts: connect again")
        elif self._registry.is_closing:
            self._close(CloseReason.GOING_AWAY, "the server shuts down")
        elif now >= self._active_at + IDLE_TIMEOUT:
            self._close(CloseReason.NORMAL_CLOSURE, "idle")

    def _set_until(self, now: float, *, is_long: bool) -> None:
        if self._websocket.state is ConnectionState.CLOSED or now >= self._close_by:
            self.until = None
        elif self._close_by < math.inf:
            self.until = self._close_by
        elif is_long or (self._woken and not self._woken.isdisjoint(self._streams)):
            self.until = -math.inf
        elif len(self._streams) == 1:  # as most connections
            (stream,) = self._streams.values()
            self.until = -math.inf if stream.until is None else stream.until
        else:
            idle_at = math.inf if self._streams else self._active_at + IDLE_TIMEOUT
            self.until = min([idle_at, *(stream.until or -math.inf for stream in self._streams.values())])

    def receive(self, data: bytes) -> None:
        """Accept bytes of the client."""
        if self._has_failed() or self._websocket.state is ConnectionState.CLOSED:
            return
        self._active_at = self._clock()
        self._websocket.receive_data(data)
        for event in self._websocket.events():
            match event:
                case TextMessage(data=text, frame_finished=is_frame, message_finished=is_message):
                    self._receive_text(text, is_frame=is_frame, is_message=is_message)
                case BytesMessage():
                    self._close(CloseReason.UNSUPPORTED_DATA, "send text, not binary data")
                case Ping():
                    self._count_frame()
                    self._send(event.response())
                case Pong():
                    self._count_frame()
                case CloseConnection() if self._websocket.state is ConnectionState.REMOTE_CLOSING:
                    self._outbox += self._websocket.send(event.response())
                case CloseConnection(code=code, reason=reason):  # a frame was malformed, or the answer to our own
                    self._close(code, reason or "")
            if self._has_failed():
                return

    def _has_failed(self) -> bool:
        # A method, because mypy assumes that an attribute keeps its value during calls.
        return self._is_deaf

    def _receive_text(self, text: str, *, is_frame: bool, is_message: bool) -> None:
        self._parts.append(text)
        self._parts_size += len(text)
        if self._parts_size > self._max_message_bytes:
            self._close(CloseReason.MESSAGE_TOO_BIG, f"a message may have {self._max_message_bytes} bytes")
        if is_frame:
            self._count_frame()
        if is_message:
            self._inbox.append("".join(self._parts))
            self._parts.clear()
            self._parts_size = 0

    def _count_frame(self) -> None:
        now = self._clock()
        self._tokens = min(MAX_BURST, self._tokens + (now - self._refilled_at) * MAX_RATE) - 1.0
        self._refilled_at = now
        if self._tokens < 0:
            self._close(CloseReason.POLICY_VIOLATION, f"more than {MAX_RATE:g} frames per second")

    def handle_messages(self) -> None:
        """Handle the messages that have arrived, one after the other."""
        self._is_handling = True
        try:
            while self._inbox and self._websocket.state is ConnectionState.OPEN:
                for reply in self._handle(self._inbox.popleft()):
                    self._send(TextMessage(reply.decode()))
                self.on_wake()
        finally:
            self._inbox.clear()
            self._is_handling = False
            self.on_wake()

    def _handle(self, text: str) -> list[bytes]:
        """Handle a message, and return the replies to it other than events."""
        given_id = b""
        try:
            message = _decoder.decode(text)
            given_id = _validate_id(bytes(message.id))
            self._sender.check()
            return self._respond(message, given_id)
        except msgspec.DecodeError as error:
            return [_refusal(ErrorInfo(400, "invalid_request", f"The message is invalid: {error}"), given_id)]
        except HTTPError as error:
            info = ErrorInfo(error.status, error.code, error.message, error.field)
            return [_refusal(info, given_id, error.headers.get("Retry-After"))]

    def _respond(self, message: ClientMessage, given_id: bytes) -> list[bytes]:
        if message.type == "ping":
            return [_with_fields(b'{"type":"pong"}', given_id)]
        if message.type != "start" and message.run_id is None:
            raise InvalidRequest("run_id: is required", "run_id")
        if message.type in ("start", "subscribe") and len(self._streams) >= MAX_STREAMS:
            raise Overloaded(f"A connection may have {MAX_STREAMS} streams: open another one", retry_after=1)
        run_id = message.run_id or ""
        match message.type:
            case "start":
                response = self._sender.start(bytes(message.request), message.idempotency_key)
            case "subscribe":
                response = self._sender.subscribe(run_id, message.last_event_id)
            case "cancel":
                response = self._sender.cancel(run_id)
            case "input":
                answer = {"input_id": message.input_id, "value": message.value}
                response = self._sender.answer(run_id, answer, message.idempotency_key)
        if message.type in ("cancel", "input") and response.status_code == HTTPStatus.OK:
            return []  # the subscribers of the run receive its end, or its progress
        if isinstance(response.response, EventStream):
            self._follow(response.response, given_id)
            return []
        if response.status_code == HTTPStatus.NO_CONTENT:
            return [_with_fields(dump_json({"type": "finished", "run_id": run_id}), given_id)]
        retry_after = response.headers.get("Retry-After")
        return [_with_fields(response.get_data(), given_id, retry_after)]

    def _follow(self, stream: EventStream, given_id: bytes) -> None:
        """Send the events of a stream with the id of the client's message."""
        if self._websocket.state is not ConnectionState.OPEN:  # closed in the meantime
            stream.close()
            return
        key = self._count
        self._count += 1

        id_field = b'"id":%b,' % given_id if given_id else b""

        def frame(message: sse.ServerSentEvent) -> bytes:
            data = message.data
            if message.id:
                return _text_frame(b'{"event_id":"%b",%b%b' % (message.id.encode(), id_field, data[1:]))
            return _text_frame(b"{%b%b" % (id_field, data[1:])) if data else b""

        def wake() -> None:
            self._woken.add(key)
            self.on_wake()

        stream.frame = frame
        stream.on_wake = wake
        self._streams[key] = stream
        wake()

    def _send(self, event: TextMessage | Pong) -> None:
        if self._websocket.state is ConnectionState.OPEN:
            self._outbox += self._websocket.send(event)

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait a while for that of the client."""
        if self._websocket.state is not ConnectionState.OPEN:
            return
        self._outbox += self._websocket.send(CloseConnection(code, reason[:120]))
        self._is_deaf = code not in (CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, _SERVICE_RESTART)
        self._inbox.clear()
        self._close_by = self._clock() + CLOSE_TIMEOUT

    def _wake(self) -> None:
        self.on_wake()

    def close(self) -> None:
        """Release the runs. May be called again."""
        self.until = None
        self.on_wake = _ignore
        self._registry.remove(self._wake)
        streams = tuple(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.close()


def _text_frame(payload: bytes) -> bytes:
    """Return a whole text message; wsproto's general form takes several times as long, once for each event."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 2**16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), payload)


def _ignore() -> None:
    """Do nothing."""


def _validate_id(raw: bytes) -> bytes:
    """Return the id of a message as it was sent; empty if it has none.

    Raises:
        DecodeError: It is neither a string nor an integer, or too long.
    """
    if len(raw) > _MAX_ID_BYTES:
        raise msgspec.DecodeError(f"id: must have at most {_MAX_ID_BYTES} bytes")
    return raw if raw and _id_decoder.decode(raw) is not None else b""


def _refusal(error: ErrorInfo, given_id: bytes, retry_after: str | None = None) -> bytes:
    return _with_fields(dump_json(NATIVE.error(error)), given_id, retry_after)


def _with_fields(body: bytes, given_id: bytes, retry_after: str | None = None) -> bytes:
    """Return a JSON object with the client's id and the delay of a refusal added."""
    fields = b""
    if given_id:
        fields += b'"id":%s,' % given_id
    if retry_after is not None and b'"retry_after":' not in body:
        fields += b'"retry_after":%s,' % retry_after.encode()
    return b"{" + fields + body[1:]
