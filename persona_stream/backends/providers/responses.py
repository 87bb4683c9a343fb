"""A whole reply as an answer, whatever that reply is.

What an HTTP status, and the error object beside it, mean.

Why an answer ended.

JSON of strangers.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

import msgspec

from persona_stream.backends.providers.base import ErrorObject, ProviderAdapter
from persona_stream.backends.providers.errors import ErrorKind, ProviderError, quote
from persona_stream.backends.providers.transport import Response
from persona_stream.core.query import Answer, Finish
from persona_stream.core.sse import parse_retry_after


def loads_lenient(text: bytes | str) -> object:
    """Give what a text says; ``None`` where it is no JSON.

    Halves of surrogate pairs are taken, and so are numbers that are none: one odd field shall not cost the rest.
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


_BY_STATUS: Mapping[int, ErrorKind] = {
    401: "credentials",
    402: "credit",
    403: "credentials",
    404: "model",
    408: "timeout",
    413: "too_long",
    429: "busy",
    503: "busy",
    504: "timeout",
    529: "busy",
}

# Gateways pass on a model's complaints without their codes, and Anthropic has no codes for these.
_BY_MESSAGE: Mapping[ErrorKind, re.Pattern[str]] = {
    "too_long": re.compile(r"context.?(?:length|window|limit)|prompt is too long", re.IGNORECASE),
    "credit": re.compile(r"credit balance is too low", re.IGNORECASE),
}


def error_from_response(
    reply: Response, status: int, fault: ErrorObject | None, dialect: ProviderAdapter, now: float
) -> ProviderError:
    """Say what to make of a reply that is no success.

    Args:
        reply: what the provider sent.
        status: what it means by it, from 300 on.
        fault: the error object in it, if it has one.
        dialect: what it speaks.
        now: the moment, in seconds since 1970.
    """
    kind = _kind(status, fault or ErrorObject())
    location = reply.headers.get("Location")
    return ProviderError(
        kind,
        f"status {reply.status}{f' to {quote(location.encode())}' if location else ''}: {quote(reply.body)}",
        # OpenAI's own clients obey this header, and gateways send it for what another try would only repeat.
        retryable=status in dialect.retryable_statuses
        and kind != "credit"
        and reply.headers.get("x-should-retry") != "false",
        fallback_allowed=status == 429 or status >= 500,
        is_outage=status >= 500,
        retry_after=parse_retry_after(reply.headers.get("Retry-After"), now),
    )


def _kind(status: int, fault: ErrorObject) -> ErrorKind:
    if fault.kind is not None:
        return fault.kind
    if status == 400:
        for kind, pattern in _BY_MESSAGE.items():
            if pattern.search(fault.message):
                return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "failed"
    # A redirect is not followed: the key would go wherever it points.
    return "refused" if status >= 400 else "unreachable"


def parse_response(reply: Response, dialect: ProviderAdapter, now: float) -> Answer:
    """Give the answer in a reply.

    Args:
        reply: what the provider sent.
        dialect: what it speaks.
        now: the moment, in seconds since 1970.

    Raises:
        Trouble: there is none in it.
    """
    parsed = loads_lenient(reply.body)
    fault = dialect.parse_error(parsed)
    if not 200 <= reply.status < 300:
        raise error_from_response(reply, reply.status, fault, dialect, now)
    if fault is not None:
        raise error_from_response(reply, fault.status, fault, dialect, now)
    try:
        return dialect.parse_completion(parsed)
    except ProviderError as trouble:
        raise ProviderError(trouble.kind, f"{trouble.detail}: {quote(reply.body)}") from None


def map_finish_reason(
    reason: object, finishes: Mapping[str, Finish], *, calls: bool, logger: logging.Logger, field: str
) -> Finish:
    """Say why an answer ended; a call is there to be made, whatever the provider calls the reason.

    Args:
        reason: what the provider says.
        finishes: what its reasons mean.
        calls: whether the answer asks for calls of tools.
        logger: hears of reasons that nobody knows.
        field: where the provider says it.
    """
    finish = finishes.get(reason) if isinstance(reason, str) else None
    if finish is None:
        finish = "stop"
        if reason is not None:
            logger.info("the answer may not be whole: %s %.100r", field, reason)
    if finish in ("stop", "tools"):
        return "tools" if calls else "stop"
    return finish
