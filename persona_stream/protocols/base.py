"""What events look like on a wire, one file for each dialect.

How every dialect writes JSON.

Which HTTP status a run without an answer has, where its client waits for the whole: the same in every dialect.

What a provider says beyond our own words, put back where it was, for clients that speak its dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from persona_stream.core import sse
from persona_stream.core.events import Event
from persona_stream.core.facts import Answered, FailureCode


class EventEncoder(Protocol):
    """Give events their bytes for one reader of one run. Pure: no I/O, no clock."""

    @property
    def name(self) -> str: ...

    def encode(self, event: Event) -> bytes:
        """Give the whole frame of an event, ready to send; nothing for one that this wire has no place for."""
        ...


class ErrorInfo(Struct, frozen=True):
    """Say why a request is refused, before any dialect gives that a form.

    ``field`` is the field, parameter or header that is to blame, if it is one.
    """

    status: int
    code: str
    message: str
    field: str | None = None


_encode_json = msgspec.json.Encoder().encode


def dump_json(body: object) -> bytes:
    """Write a body of the wire: compact UTF-8, with what breaks naive clients escaped."""
    return sse.escape_line_separators(_encode_json(body))


_STATUSES: Mapping[FailureCode, HTTPStatus] = {
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "backend_error": HTTPStatus.BAD_GATEWAY,
    "lost": HTTPStatus.BAD_GATEWAY,
    "cancelled": HTTPStatus.CONFLICT,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
}


def http_status_for(code: FailureCode) -> int:
    """Give the status of a failure."""
    return int(_STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR))


def provider_fields_for(answered: Answered, dialect: Literal["openai", "anthropic"], place: str) -> Mapping[str, Any]:
    """Give what belongs at a place; nothing, where the provider speaks another dialect."""
    if answered.extras is None or answered.extras.dialect != dialect:
        return {}
    found = answered.extras.fields.get(place)
    return found if isinstance(found, Mapping) else {}


def merge_fields(frame: msgspec.Struct, fields: Mapping[str, Any]) -> Any:
    """Give a frame with more fields; what we say ourselves stands."""
    if not fields:
        return frame
    own = msgspec.to_builtins(frame)
    return {**own, **{name: value for name, value in fields.items() if own.get(name) is None}}
