"""What an HTTP status, and the error object beside it, mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from persona_stream.backends.openai.retries import retry_after
from persona_stream.backends.openai.trouble import Kind, Trouble, quote
from persona_stream.backends.openai.wire import Reply

_AGAIN = frozenset({429, 502, 503, 504})

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

_BY_CODE: Mapping[str, Kind] = {
    "invalid_api_key": "credentials",
    "insufficient_quota": "credit",
    "model_not_found": "model",
    "context_length_exceeded": "too_long",
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
}

# Gateways pass on a model's complaint of this without its code.
_TOO_LONG = re.compile(r"context.?(?:length|window)", re.IGNORECASE)


def refusal_of(reply: Reply, status: int, error: object, now: float) -> Trouble:
    """Say what to make of a reply that is no success.

    Args:
        reply: what the provider sent.
        status: what it means by it, from 300 on.
        error: the error object in it, if it has one.
        now: the moment, in seconds since 1970.
    """
    kind = _kind(status, error)
    location = reply.headers.get("Location")
    return Trouble(
        kind,
        f"status {reply.status}{f' to {quote(location.encode())}' if location else ''}: {quote(reply.body)}",
        # OpenAI's own clients obey this header, and gateways send it for what another try would only repeat.
        again=status in _AGAIN and kind != "credit" and reply.headers.get("x-should-retry") != "false",
        retry_after=retry_after(reply.headers.get("Retry-After"), now),
    )


def status_within(error: object) -> int:
    """Give the status that an error object in a reply with status 200 stands for; gateways put it in ``code``."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and re.fullmatch("[1-9][0-9]{2}", code):
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else 500


def _kind(status: int, error: object) -> Kind:
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        if isinstance(code, str) and code in _BY_CODE:
            return _BY_CODE[code]
        if status == 400 and isinstance(message, str) and _TOO_LONG.search(message):
            return "too_long"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "failed"
    # A redirect is not followed: the key would go wherever it points.
    return "refused" if status >= 400 else "unreachable"
