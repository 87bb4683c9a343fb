"""Responses of providers: whole answers, HTTP errors, error objects and finish reasons."""

import json
import logging
import re
from collections.abc import Mapping, Set
from typing import Any

import msgspec

from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.errors import ErrorKind, ProviderError, ProviderErrorObject, quote
from persona_stream.backends.providers.transport import Response
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Answer, Finish
from persona_stream.core.sse import parse_retry_after


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


_KIND_BY_STATUS: Mapping[int, ErrorKind] = {
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

# Gateways drop the error codes of the providers behind them, and Anthropic has no codes for these.
_KIND_BY_MESSAGE: Mapping[ErrorKind, re.Pattern[str]] = {
    "too_long": re.compile(r"context.?(?:length|window|limit)|prompt is too long", re.IGNORECASE),
    "credit": re.compile(r"credit balance is too low", re.IGNORECASE),
}


def error_from_response(
    response: Response, status: int, error: ProviderErrorObject | None, adapter: ProviderAdapter
) -> ProviderError:
    """Build the error for an unsuccessful response, which means the HTTP ``status``, from 300 on."""
    kind = _error_kind(status, error or ProviderErrorObject())
    location = response.headers.get("Location")
    target = f" to {quote(location.encode())}" if location else ""
    return ProviderError(
        kind,
        f"status {response.status}{target}: {quote(response.body)}",
        # OpenAI's clients obey this header, and gateways send it for errors that a retry would only repeat.
        retryable=status in adapter.retryable_statuses
        and kind != "credit"
        and response.headers.get("x-should-retry") != "false",
        fallback_allowed=status == 429 or status >= 500,
        is_outage=status >= 500,
        retry_after=parse_retry_after(response.headers.get("Retry-After")),
    )


def _error_kind(status: int, error: ProviderErrorObject) -> ErrorKind:
    if error.kind is not None:
        return error.kind
    if status == 400:
        for kind, pattern in _KIND_BY_MESSAGE.items():
            if pattern.search(error.message):
                return kind
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    if status >= 500:
        return "failed"
    # Redirects are not followed: the API key would be sent to their target.
    return "refused" if status >= 400 else "unreachable"


def parse_response(response: Response, adapter: ProviderAdapter) -> Answer:
    """Parse the answer in a whole response.

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
        return adapter.parse_completion(parsed)
    except ProviderError as failure:
        raise ProviderError(failure.kind, f"{failure.detail}: {quote(response.body)}") from None


def map_finish_reason(
    reason: object, finishes: Mapping[str, Finish], *, text: str, has_calls: bool, logger: logging.Logger, field: str
) -> Finish:
    """Map a provider's finish reason; an answer with tool calls ends in ``tools`` for any other normal reason.

    ``finishes`` has the known reasons; others are logged with ``field``, the provider's name for them.

    Raises:
        ProviderError: the answer is empty. One that reached the client's token limit before its first word is not.
    """
    finish = finishes.get(reason) if isinstance(reason, str) else None
    if finish is None:
        finish = "stop"
        if reason is not None:
            logger.info("the answer may be incomplete: unknown %s %.100r", field, reason)
    if not (text.strip() or has_calls or finish == "length"):
        raise ProviderError("filtered" if finish == "filter" else "empty", f"no text, {field} {reason!r:.100}")
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
