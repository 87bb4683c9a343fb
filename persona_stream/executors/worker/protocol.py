"""Messages between the server and a worker process: MessagePack in frames with a length of four bytes.

Invariants:
    Both sides decode against the schema below, so a message builds values of these types and runs no code.
    Values outside of the schema are refused when they are encoded, or when they are decoded.
    Text parts are bytes: a backend may split a character into two surrogates, which UTF-8 cannot carry.
"""

import socket
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from persona_stream.backends.base import BackendDescription
from persona_stream.core.content import ProviderFields, replace_unencodable
from persona_stream.core.query import NO_CONTEXT, Answer, InputRequest, Query, QueryContext, UpstreamCall
from persona_stream.errors import BackendErrorCode


class _Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages; the class name is the tag."""


class Init(_Message, frozen=True):
    """First message to a worker."""

    factory: bytes  # pickle of a function that creates the backends by name
    paths: tuple[str, ...]  # Python's module search path
    main: dict[str, str]  # how multiprocessing loads the server's main module, if a backend is defined there
    log_level: int
    max_answer_bytes: int
    threads: int  # 0: one query at a time, in the main thread


class RunQuery(_Message, frozen=True):
    """Query for a worker. ``number`` counts the queries of this worker, from 1."""

    number: int
    backend: str
    run_id: str
    trace_headers: dict[str, str]
    query: Query


class Cancel(_Message, frozen=True):
    """Cancellation of a query."""

    number: int


class AnswerInput(_Message, frozen=True):
    """Answer to a question of a query; ``None`` at its timeout."""

    number: int
    input_id: str
    value: str | None


class Ready(_Message, frozen=True):
    """Worker is ready for queries to these backends."""

    backends: dict[str, BackendDescription]


class Begun(_Message, frozen=True):
    """Start of a query's code. Without it, another worker may run the query."""

    number: int


class GivenBack(_Message, frozen=True):
    """Query that has not begun because the gate was closed, and never will: another worker may run it."""

    number: int


class Heartbeat(_Message, frozen=True):
    """Sign of life of a worker that runs queries."""


class LoopBlocked(_Message, frozen=True):
    """Event loop that has not turned for ``seconds``, the stack of its thread, and the queries that it gives back.

    They have not started there, and never will.
    """

    seconds: float
    stack: str
    waiting: tuple[int, ...]


class Exhausted(_Message, frozen=True):
    """Resource of the process that its queries have used up, for the log: later queries would fail, too."""

    problem: str


class NotStopping(_Message, frozen=True):
    """Query that continues after its cancellation, and the stack of its thread if it is known."""

    number: int
    stack: str


class Text(_Message, frozen=True):
    """Part of the answer."""

    data: bytes


class Reasoning(_Message, frozen=True):
    """Part of the reasoning."""

    data: bytes


class Report(_Message, frozen=True):
    """Progress report."""

    message: str
    fraction: float | None


class Upstream(_Message, frozen=True):
    """Call to a provider."""

    call: UpstreamCall


class Extras(_Message, frozen=True):
    """Fields of the message that a provider streamed."""

    extras: ProviderFields


class Ask(_Message, frozen=True):
    """Question to the user."""

    request: InputRequest


Notification = Text | Reasoning | Report | Upstream | Extras | Ask


class Notifications(_Message, frozen=True):
    """Notifications of a query since the last batch, in order."""

    number: int
    items: tuple[Notification, ...]


class LogRecord(_Message, frozen=True):
    """Log line of a worker."""

    logger: str
    level: int
    message: str
    created: float
    run_id: str


class Result(_Message, frozen=True):
    """Return value of process_query. A query ends with one ``Result`` or ``Failure``."""

    number: int
    answer: str | Answer


FailureKind = Literal[
    "start_failed", "backend_error", "backend_unavailable", "answer_too_large", "crashed", "out_of_memory"
]


class Failure(_Message, frozen=True):
    """Failure of a query, or of the start (number 0). The text is for the client only if the backend raised it."""

    number: int
    kind: FailureKind
    text: str = ""
    traceback: str = ""
    code: BackendErrorCode = "backend_error"
    retry_after: float | None = None


Health = Begun | GivenBack | Heartbeat | Exhausted | LoopBlocked | NotStopping
Message = Init | RunQuery | Cancel | AnswerInput | Ready | Health | Notifications | LogRecord | Result | Failure

LENGTH_BYTES = 4
RECEIVE_BYTES = 256 * 1024
MAX_FRAME_BYTES = 2 ** (8 * LENGTH_BYTES) - 1


class FrameTooLarge(ValueError):
    """Frame over the size limit."""


def max_frame_bytes(max_answer_bytes: int) -> int:
    """Return the size limit of a worker's frames: an answer comes with its raw form."""
    return 2 * max_answer_bytes + 2**20


def to_json_like(value: object) -> Any:
    """Return a value as the request log would write it in JSON; ``None`` if that is impossible."""
    try:
        return msgspec.to_builtins(value, enc_hook=repr)
    except Exception:  # noqa: BLE001 - unsupported keys, a cycle, or an object without a representation
        return None


def to_json_like_call(call: UpstreamCall) -> UpstreamCall:
    """Return a call to a provider whose bodies are as the request log would write them in JSON."""
    return msgspec.structs.replace(call, request=to_json_like(call.request), response=to_json_like(call.response))


def encode_hook(value: object) -> object:
    """Return a value as a type that msgspec can encode; raise ``TypeError`` if there is none."""
    match value:
        case QueryContext():
            return None  # belongs to the process
        case MappingProxyType():
            return dict(value)
        case str():  # a subclass, as below
            return str.__str__(value)
        case bytes():
            return bytes(value)
        case float():
            return float(value)
        case int():
            return int(value)
    raise TypeError(f"an object of {type(value).__module__}.{type(value).__qualname__}")


def decode_hook(kind: type, value: object) -> object:
    """Return a value of a type that msgspec does not know: the context of a query belongs to its process."""
    return NO_CONTEXT if kind is QueryContext else value


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message, dec_hook=decode_hook)


def encode(message: Message) -> bytes:
    """Encode a message. Lone surrogates become U+FFFD, and integers of more than 64 bits floats.

    Raises:
        TypeError: a value is not of the schema.
        RecursionError: a value is nested too deeply.
    """
    try:
        return _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError):
        builtins = msgspec.to_builtins(message, builtin_types=(bytes,), enc_hook=encode_hook)
        return _encoder.encode(to_encodable(builtins))


def to_encodable(value: Any) -> Any:
    """Return built-in values without lone surrogates and without integers of more than 64 bits."""
    match value:
        case str():
            return replace_unencodable(value)
        case int() if not -(2**63) <= value < 2**64:
            return float(value)
        case dict():
            return {to_encodable(key): to_encodable(item) for key, item in value.items()}
        case list() | tuple():
            return [to_encodable(item) for item in value]
    return value


def decode(payload: bytes) -> Message:
    """Decode a message; raise ``msgspec.DecodeError`` if the payload is not one of the schema."""
    return _decoder.decode(payload)


def to_frame(payload: bytes) -> bytes:
    """Return an encoded message with its length."""
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def receive_all(
    connection: socket.socket, max_bytes: int = MAX_FRAME_BYTES, on_receive: Callable[[], object] | None = None
) -> Iterator[bytes]:
    """Yield payloads until the end; raise ``FrameTooLarge`` before reading one over ``max_bytes``.

    ``on_receive`` is called after each part that was received: a large payload has many.
    """
    buffer = bytearray()
    position = 0
    while True:
        while (head := len(buffer) - position - LENGTH_BYTES) >= 0:
            size = int.from_bytes(buffer[position : position + LENGTH_BYTES], "big")
            if size > max_bytes:
                raise FrameTooLarge(f"{size} bytes")
            if head < size:
                break
            begin = position + LENGTH_BYTES
            position = begin + size
            yield bytes(memoryview(buffer)[begin:position])
        del buffer[:position]
        position = 0
        received = connection.recv(RECEIVE_BYTES)
        if not received:
            return
        buffer += received
        if on_receive is not None:
            on_receive()
