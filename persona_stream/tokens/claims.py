"""What the claims of a well-signed token must say. Pure: the rules and the moment are handed in.

Source: RFC 7519 §4.1. Its ``iat`` is not a condition there, and is none here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from persona_stream.core.query import Principal
from persona_stream.tokens.answers import invalid

# The last second of the year 9999. Beyond it are milliseconds that somebody took for seconds: such a token would
# hold for ever, which nobody meant.
_LAST_MOMENT = 253_402_300_799
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rules:
    """Say which tokens are meant for this server.

    Attributes:
        audience: ``aud`` must name one of these. A token that names any is not for a server that is none.
        issuer: ``iss`` must be this, if it is not ``None``.
        leeway: seconds that clocks may differ.
    """

    audience: tuple[str, ...] = ()
    issuer: str | None = None
    leeway: float = 0.0


def check(claims: Mapping[str, Any], rules: Rules, now: float) -> tuple[Principal, float]:
    """Give the caller that these claims speak of, and the moment when they end.

    Raises:
        Unauthorized: they do not hold here, or not now.
    """
    ends = _moment(claims, "exp")
    if ends is None:
        raise invalid("The token has no exp claim: it must say when it expires")
    if ends + rules.leeway <= now:
        raise invalid(f"The token expired at {_written(ends)}")
    starts = _moment(claims, "nbf")
    if starts is not None and starts - rules.leeway > now:
        raise invalid(f"The token is not valid before {_written(starts)} (nbf)")
    _check_audience(claims.get("aud"), rules.audience)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise invalid(f"The token is from another issuer: its iss claim must be {rules.issuer}")
    return Principal(_subject(claims.get("sub")), _scopes(claims.get("scope"))), ends + rules.leeway


def is_subject(text: str) -> bool:
    """Tell whether a caller can be called this: not blank, and without control characters, which end up in logs."""
    return bool(text.strip()) and not _CONTROL.search(text)


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # A bool is an int to Python. NaN fails every comparison, so this one refuses it.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LAST_MOMENT:
        raise invalid(f"The token's {name} claim is not a moment: it must be a number of seconds since 1970")
    return float(value)


def _written(moment: float) -> str:
    # isoformat, because strftime writes years before 1000 differently on every platform.
    try:
        return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # before the year 1
        return "a moment long ago"


def _check_audience(claim: object, audience: tuple[str, ...]) -> None:
    named = [claim] if isinstance(claim, str) else claim
    if not named:
        if audience:
            raise invalid(f"The token has no aud claim: it must be for {' or '.join(audience)}")
        return
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise invalid("The token's aud claim is neither a string nor a list of strings")
    if not audience:
        raise invalid("The token is for an audience (aud), and this server has no name of its own: set jwt_audience")
    if not set(named) & set(audience):
        raise invalid(f"The token is for another audience: its aud claim must name {' or '.join(audience)}")


def _subject(claim: object) -> str:
    if claim is None:
        raise invalid("The token has no sub claim: it must say who calls")
    if not isinstance(claim, str) or not is_subject(claim):
        raise invalid("The token's sub claim is not the name of a caller: it must be a string, and not blank")
    return claim


def _scopes(claim: object) -> frozenset[str]:
    if claim is None:
        return frozenset({"chat"})
    if not isinstance(claim, str):
        raise invalid("The token's scope claim is not a string of scopes with spaces between")
    return frozenset(claim.split())
