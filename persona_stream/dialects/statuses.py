"""Which HTTP status a run without an answer has, where its client waits for the whole: the same in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from persona_stream.core.facts import FailureCode

_STATUSES: Mapping[FailureCode, HTTPStatus] = {
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "backend_error": HTTPStatus.BAD_GATEWAY,
    "lost": HTTPStatus.BAD_GATEWAY,
    "cancelled": HTTPStatus.CONFLICT,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(code: FailureCode) -> int:
    """Give the status of a failure."""
    return int(_STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR))
