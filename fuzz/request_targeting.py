"""Aim a made-up request at what exists: hardly any run, conversation or token is ever guessed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

_LONGEST_QUERY = 6000  # characters; the line may have 8,192
_FORMS = ("application/json", "text/event-stream", "*/*", "text/html", "application/json;q=0.1, text/*", "nonsense", "")
# What no backend here can do: a request that has one of these comes no farther.
_REFUSED = ("n", "functions", "function_call", "logprobs", "top_logprobs", "modalities", "audio", "mcp_servers")


@dataclass(frozen=True, slots=True)
class Known:
    """Name what exists, by the parameters that take it.

    Attributes:
        tokens: of the one caller, with the scopes of an administrator, and without.
    """

    run_id: Sequence[str]
    conversation_id: Sequence[str]
    name: Sequence[str]
    tokens: Sequence[str]


def aim(case: Any, known: Known, dice: Random, *, is_body_wrong: bool = False) -> Any:
    """Change a case of schemathesis, in most of its parts that could be a name of something.

    A body that was made wrong on purpose stays as it is: put right, it would be answered, where a refusal is awaited.
    """
    _path(case.path_parameters or {}, known, dice)
    if "run_id" in (case.path_parameters or {}):
        _position(case, dice)
    if dice.random() < 0.3:
        case.headers["Accept"] = dice.choice(_FORMS)
    if "Idempotency-Key" in case.headers and dice.random() < 0.8:
        case.headers["Idempotency-Key"] = f"key-{dice.getrandbits(20)}"  # most have been used for another body
    if isinstance(case.body, dict) and not is_body_wrong and dice.random() < 0.7:
        _body(case, known, dice)
    return case


def is_short(case: Any) -> bool:
    """Tell whether the address of a case has room in the first line of a head (``tests/http/test_framing.py``)."""
    return len(urlencode(case.query or {}, doseq=True, errors="replace")) < _LONGEST_QUERY


def introduce(case: Any, known: Known) -> None:
    """Say who asks: mostly an administrator, else a caller, or nobody.

    What else a request says chooses, so that the same one is always asked by the same.
    """
    said = repr((case.operation.label, case.path_parameters, case.query, case.body))
    who = zlib.crc32(said.encode("utf-8", "replace")) % 8
    for name in ("Authorization", "x-api-key"):
        case.headers.pop(name, None)
    (case.cookies or {}).pop("persona_stream_admin", None)
    if who:
        case.headers["Authorization"] = f"Bearer {known.tokens[who == 1]}"
    else:
        case.query.pop("ticket", None)


def _path(parameters: dict[str, Any], known: Known, dice: Random) -> None:
    for name in ("run_id", "conversation_id", "name"):
        if name in parameters and dice.random() < 0.8:
            parameters[name] = dice.choice(getattr(known, name))


def _position(case: Any, dice: Random) -> None:
    if "ticket" in case.query and dice.random() < 0.8:
        del case.query["ticket"]  # no guess opens anything
    if "last_event_id" in case.query and dice.random() < 0.6:
        case.query["last_event_id"] = f"{case.path_parameters['run_id']}/{dice.randrange(6)}.{dice.randrange(5)}"
    if "from" in case.query and dice.random() < 0.6:
        case.query["from"] = dice.randrange(9)


def _body(case: Any, known: Known, dice: Random) -> None:
    body = case.body
    if "token" in body:
        body["token"] = dice.choice(known.tokens)
    if "conversation_id" in body or dice.random() < 0.2:
        body["conversation_id"] = dice.choice(known.conversation_id)
    if isinstance(body.get("messages"), list):
        body["messages"] = [*body["messages"], {"role": "user", "content": f"Question {dice.randrange(1000)}"}]
        for field in _REFUSED:
            body.pop(field, None)
