"""What Anthropic's error objects mean."""

from __future__ import annotations

from collections.abc import Mapping

from persona_stream.backends.providers import Fault

_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def fault_in(parsed: object) -> Fault | None:
    """Find the error object in a body, or in an event of a stream."""
    if not isinstance(parsed, dict) or not (error := parsed.get("error") or parsed.get("type") == "error"):
        return None
    match error:
        case dict():
            kind, message = error.get("type"), error.get("message")
        case str():
            kind, message = None, error
        case _:
            kind, message = None, parsed.get("message")
    status = _STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    return Fault(status, message=message if isinstance(message, str) else "")
