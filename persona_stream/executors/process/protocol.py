"""What server and worker say to each other.

How what server and worker say to each other is written.

A frame is its length in four bytes, and a pickle of our own types and Python's plain ones. Anything else is refused by
who writes it and by who reads it: so nothing of a stranger's is imported, built or run in the server.
"""

from __future__ import annotations

import io
import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import FunctionType, MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from persona_stream.core.content import Image, ProviderFields, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Answer, Principal, Query, Turn, UpstreamCall, Usage
from persona_stream.personas.persona import KnowledgeItem, Persona


class Init(Struct, frozen=True):
    """To a worker, first: what it needs to begin.

    Attributes:
        make: the pickle of a function that makes the backends, and gives them by name.
        paths: where Python looks for modules.
        log_level: from which level on it shall log.
        limit: how many bytes an answer may have.
    """

    make: bytes
    paths: tuple[str, ...]
    log_level: int
    limit: int


class RunQuery(Struct, frozen=True):
    """To a worker: answer this. ``number`` is the query's among those of this worker."""

    number: int
    backend: str
    run_id: str
    query: Mapping[str, Any]


class Cancel(Struct, frozen=True):
    """To a worker: nobody waits for this any more."""

    number: int


class Ready(Struct, frozen=True):
    """From a worker: it can be asked."""


class StartFailed(Struct, frozen=True):
    """From a worker, and its last: why it cannot be asked."""

    reason: str


class Text(Struct, frozen=True):
    """A part of the answer."""

    text: str


class Reasoning(Struct, frozen=True):
    """A part of what the model thinks."""

    text: str


class Report(Struct, frozen=True):
    """How far it is."""

    message: str
    fraction: float | None


class Notifications(Struct, frozen=True):
    """From a worker: what a query has told meanwhile, in order."""

    number: int
    what: tuple[Text | Reasoning | Report | UpstreamCall, ...]


class LogRecord(Struct, frozen=True):
    """From a worker: a line for the log."""

    logger: str
    level: int
    message: str
    created: float
    run_id: str


class Result(Struct, frozen=True):
    """From a worker: what process_query returned."""

    answer: str | Answer


class ResultTooLarge(Struct, frozen=True):
    """From a worker: the answer is over the limit, and not sent."""


class BackendFailed(Struct, frozen=True):
    """From a worker: process_query raised a ``BackendError``, or a ``BackendUnavailable``."""

    text: str
    unavailable: bool


class Crashed(Struct, frozen=True):
    """From a worker: what else went wrong, in words for the log. ``for_good`` says not to ask it again."""

    words: str
    for_good: bool = False


Outcome = Result | ResultTooLarge | BackendFailed | Crashed

_HEAD_BYTES = 4
_LARGEST = 2 ** (8 * _HEAD_BYTES) - 1

_SENT = tuple(field.name for field in fields(Query) if field.name != "_context")

_OURS: tuple[type, ...] = (
    *(Init, RunQuery, Cancel, Ready, StartFailed, Notifications, LogRecord),
    *(Text, Reasoning, Report, Result, ResultTooLarge, BackendFailed, Crashed),
    *(
        Answer,
        Usage,
        Turn,
        ProviderFields,
        Image,
        Tool,
        ToolCall,
        ToolChoice,
        Principal,
        Persona,
        KnowledgeItem,
        UpstreamCall,
    ),
)
_PLAIN: tuple[type, ...] = (str, int, float, bytes, dict, list, tuple)


class Unsendable(TypeError):
    """Say what it is that does not belong into a frame."""


class Oversized(ValueError):
    """Say that a frame is larger than it may be."""


def of_query(query: Query) -> dict[str, Any]:
    """Give what a worker needs of a query."""
    return {name: getattr(query, name) for name in _SENT}


def largest(limit: int) -> int:
    """Give how many bytes a frame of a worker may have, where an answer may have ``limit``: its raw form comes too."""
    return 2 * limit + 2**20


def plain(value: object) -> Any:
    """Give what JSON could say of a value, as the request log would write it."""
    try:
        return msgspec.to_builtins(value, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, or a circle
        return None


def encode(message: object) -> bytes:
    """Write a message.

    Raises:
        Unsendable: there is something in it that is neither ours nor plain.
    """
    written = io.BytesIO()
    try:
        _Pickler(written).dump(message)
    except RecursionError:
        raise Unsendable("something that is nested too deeply") from None
    return written.getvalue()


def decode(payload: bytes) -> Any:
    """Read a message.

    Raises:
        pickle.UnpicklingError: it is none, or has something in it that is not ours.
    """
    return _Unpickler(io.BytesIO(payload)).load()


def framed(payload: bytes) -> bytes:
    """Give a frame of an encoded message.

    Raises:
        Oversized: no frame is so large.
    """
    if len(payload) > _LARGEST:
        raise Oversized(f"{len(payload)} bytes")
    return len(payload).to_bytes(_HEAD_BYTES, "big") + payload


def receive(connection: socket.socket, limit: int = _LARGEST) -> bytes | None:
    """Wait for a frame; give ``None`` when there will be none any more.

    Raises:
        Oversized: it is over ``limit`` bytes; nothing of it was read.
        OSError: the connection broke.
    """
    head = _exactly(connection, _HEAD_BYTES)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    if size > limit:
        raise Oversized(f"{size} bytes")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    room = bytearray(size)
    rest = memoryview(room)
    while rest:
        count = connection.recv_into(rest)
        if not count:
            return None
        rest = rest[count:]
    return bytes(room)


def _read_only(items: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(items)


# What msgspec builds a Struct of keywords with.
_rebuild: Any = UpstreamCall(provider="", model="", url="", request=None, began_at=0.0, seconds=0.0).__reduce__()[0]
_FUNCTIONS: tuple[Callable[..., Any], ...] = (_read_only, _rebuild)
_KNOWN: Mapping[tuple[str, str], Any] = {(each.__module__, each.__qualname__): each for each in (*_OURS, *_PLAIN)} | {
    (each.__module__, each.__qualname__): each for each in _FUNCTIONS
}


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Let ours pass, make others plain that are a kind of something plain, and refuse the rest."""
        if isinstance(value, type):
            is_known = value in _OURS or value in _PLAIN
        elif isinstance(value, FunctionType):
            is_known = value in _FUNCTIONS
        else:
            is_known = type(value) in _OURS
        if is_known:
            return NotImplemented
        if isinstance(value, MappingProxyType):
            return _read_only, (dict(value),)
        if isinstance(value, str):
            return str, (str.__str__(value),)
        for base in _PLAIN:
            if isinstance(value, base):
                return base, (base(value),)
        raise Unsendable(f"an object of {type(value).__module__}.{type(value).__qualname__}")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Find ours, and nothing else."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a frame") from None
