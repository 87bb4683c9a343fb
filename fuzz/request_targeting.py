"""Targeting of generated requests at existing resources, whose ids cannot be guessed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

_MAX_QUERY_LENGTH = 6000  # characters; the request line may have 8,192
_MEDIA_TYPES = (
    "application/json",
    "text/event-stream",
    "*/*",
    "text/html",
    "application/json;q=0.1, text/*",
    "nonsense",
    "",
)
# Fields that the backend does not support: a request with one of them is rejected.
_UNSUPPORTED = (
    "n",
    "functions",
    "function_call",
    "logprobs",
    "top_logprobs",
    "modalities",
    "audio",
    "mcp_servers",
)


@dataclass(frozen=True, slots=True)
class Known:
    """Existing ids by parameter name.

    Attributes:
        tokens: the tokens of the user with and without the admin scope.
    """

    run_id: Sequence[str]
    conversation_id: Sequence[str]
    name: Sequence[str]
    tokens: Sequence[str]


def target(case: Any, known: Known, rng: Random, *, is_body_invalid: bool = False) -> Any:
    """Replace most ids in a schemathesis case by existing ones.

    A body that is invalid on purpose stays unchanged: corrected, it would be accepted where an error is expected.
    """
    _path(case.path_parameters or {}, known, rng)
    if "run_id" in (case.path_parameters or {}):
        _position(case, rng)
    if rng.random() < 0.3:
        case.headers["Accept"] = rng.choice(_MEDIA_TYPES)
    if "Idempotency-Key" in case.headers and rng.random() < 0.8:
        case.headers["Idempotency-Key"] = f"key-{rng.getrandbits(20)}"  # most generated ones were used for another body
    if isinstance(case.body, dict) and not is_body_invalid and rng.random() < 0.7:
        _body(case, known, rng)
    return case


def is_short(case: Any) -> bool:
    """Return whether the URL of a case fits into a request line (``tests/http/test_framing.py``)."""
    return len(urlencode(case.query or {}, doseq=True, errors="replace")) < _MAX_QUERY_LENGTH


def set_credentials(case: Any, known: Known) -> None:
    """Set the credentials of a case: mostly an administrator, else a user, or none.

    The content of the request selects them, so that equal requests have equal credentials.
    """
    content = repr((case.operation.label, case.path_parameters, case.query, case.body))
    choice = zlib.crc32(content.encode("utf-8", "replace")) % 8
    for name in ("Authorization", "x-api-key"):
        case.headers.pop(name, None)
    (case.cookies or {}).pop("persona_stream_admin", None)
    if choice:
        case.headers["Authorization"] = f"Bearer {known.tokens[choice == 1]}"
    else:
        case.query.pop("ticket", None)


def _path(parameters: dict[str, Any], known: Known, rng: Random) -> None:
    for name in ("run_id", "conversation_id", "name"):
        if name in parameters and rng.random() < 0.8:
            parameters[name] = rng.choice(getattr(known, name))


def _position(case: Any, rng: Random) -> None:
    if "ticket" in case.query and rng.random() < 0.8:
        del case.query["ticket"]  # a generated signature is never valid
    if "last_event_id" in case.query and rng.random() < 0.6:
        case.query["last_event_id"] = f"{case.path_parameters['run_id']}/{rng.randrange(6)}.{rng.randrange(5)}"
    if "from" in case.query and rng.random() < 0.6:
        case.query["from"] = rng.randrange(9)


def _body(case: Any, known: Known, rng: Random) -> None:
    body = case.body
    if "token" in body:
        body["token"] = rng.choice(known.tokens)
    if "conversation_id" in body or rng.random() < 0.2:
        body["conversation_id"] = rng.choice(known.conversation_id)
    if isinstance(body.get("messages"), list):
        body["messages"] = [*body["messages"], {"role": "user", "content": f"Question {rng.randrange(1000)}"}]
        for field in _UNSUPPORTED:
            body.pop(field, None)
