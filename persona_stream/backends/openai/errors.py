"""What OpenAI's error objects mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from persona_stream.backends.providers import Fault
from persona_stream.backends.providers.trouble import Kind

_BY_CODE: Mapping[str, Kind] = {
    "invalid_api_key": "credentials",
    "insufficient_quota": "credit",
    "model_not_found": "model",
    "context_length_exceeded": "too_long",
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
}


def fault_in(parsed: object) -> Fault | None:
    """Find the error object in a body, or in a chunk of a stream."""
    if not isinstance(parsed, dict):
        return None
    error = parsed.get("error") or (parsed if parsed.get("object") == "error" else None)
    match parsed.get("choices"):
        # A gateway whose provider failed in the middle of an answer says so beside what it has of it.
        case [{"error": beside}, *_] if beside:
            error = beside
    if not error:
        return None
    if not isinstance(error, dict):
        return Fault(message=error if isinstance(error, str) else "")
    code, message = error.get("code"), error.get("message")
    kind = _BY_CODE.get(code) if isinstance(code, str) else None
    return Fault(_status(code), kind, message if isinstance(message, str) else "")


def _status(code: object) -> int:
    """Give the status that stands in ``code``, where gateways put it."""
    if isinstance(code, str):
        code = 429 if code == "rate_limit_exceeded" else int(code) if re.fullmatch("[1-9][0-9]{2}", code) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 500
