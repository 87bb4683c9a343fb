"""What an HTTP status, and the error object beside it, mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from persona_stream.backends.providers import Dialect, Fault
from persona_stream.backends.providers.trouble import Kind, Trouble, quote
from persona_stream.backends.providers.wire import Reply
from persona_stream.core.sse import retry_after

_BY_STATUS: Mapping[int, Kind] = {
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
_BY_MESSAGE: Mapping[Kind, re.Pattern[str]] = {
    "too_long": re.compile(r"context.?(?:length|window|limit)|prompt is too long", re.IGNORECASE),
    "credit": re.compile(r"credit balance is too low", re.IGNORECASE),
}


def refusal_of(reply: Reply, status: int, fault: Fault | None, dialect: Dialect, now: float) -> Trouble:
    """Say what to make of a reply that is no success.

    Args:
        reply: what the provider sent.
        status: what it means by it, from 300 on.
        fault: the error object in it, if it has one.
        dialect: what it speaks.
        now: the moment, in seconds since 1970.
    """
    kind = _kind(status, fault or Fault())
    location = reply.headers.get("Location")
    return Trouble(
        kind,
        f"status {reply.status}{f' to {quote(location.encode())}' if location else ''}: {quote(reply.body)}",
        # OpenAI's own clients obey this header, and gateways send it for what another try would only repeat.
        again=status in dialect.passing and kind != "credit" and reply.headers.get("x-should-retry") != "false",
        elsewhere=status == 429 or status >= 500,
        down=status >= 500,
        retry_after=retry_after(reply.headers.get("Retry-After"), now),
    )


def _kind(status: int, fault: Fault) -> Kind:
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
