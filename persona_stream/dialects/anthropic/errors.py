"""Errors as Anthropic's clients read them."""

from __future__ import annotations

from collections.abc import Mapping

from persona_stream.core.facts import FailureCode
from persona_stream.dialects import Refused
from persona_stream.dialects.anthropic.frames import ErrorType, MessageError, MessageErrorObject
from persona_stream.dialects.statuses import status_of

_TYPES: Mapping[int, ErrorType] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    # Theirs comes with 529, which is no status of HTTP's. Their clients read the type, and try again after both.
    503: "overloaded_error",
    504: "timeout_error",
}


def refusal(refused: Refused) -> MessageError:
    """Give a refusal its form."""
    others: ErrorType = "invalid_request_error" if refused.status < 500 else "api_error"
    return _error(_TYPES.get(refused.status, others), refused.message)


def failure(code: FailureCode, message: str) -> MessageError:
    """Give the ending of a run without an answer its form. None of them is the request's fault."""
    return _error(_TYPES.get(status_of(code), "api_error"), message)


def _error(kind: ErrorType, message: str) -> MessageError:
    return MessageError(error=MessageErrorObject(type=kind, message=message))
