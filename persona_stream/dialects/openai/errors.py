"""Errors as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import Mapping

from persona_stream.core.facts import FailureCode
from persona_stream.dialects import Refused
from persona_stream.dialects.openai.frames import ErrorBody, ErrorObject

SERVER_ERROR = "server_error"
_INVALID = "invalid_request_error"

_TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Mapping[str, str] = {"unauthorized": "invalid_api_key"}


def refusal(refused: Refused) -> ErrorBody:
    """Give a refusal its form."""
    kind = _TYPES.get(refused.status, _INVALID if refused.status < 500 else SERVER_ERROR)
    code = _CODES.get(refused.code, refused.code)
    return ErrorBody(error=ErrorObject(message=refused.message, type=kind, param=refused.field, code=code))


def failure(code: FailureCode, message: str) -> ErrorBody:
    """Give the ending of a run without an answer its form."""
    return ErrorBody(error=ErrorObject(message=message, type=SERVER_ERROR, code=code))
