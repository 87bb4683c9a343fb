"""From a bearer token (RFC 6750, RFC 7519) to the caller that it speaks for.

What the claims of a well-signed token must say. Pure: the rules and the moment are handed in.

Source: RFC 7519 §4.1. Its ``iat`` is not a condition there, and is none here.

The compact form of a signed token: three segments with dots between (RFC 7515 §7.1).

PyJWT checks the signature. Its ``decode`` would prepare the key anew for every token, which takes four times as
long as the signature itself; so the segments are taken apart here, and its algorithms are given the key as prepared.

The 401 of RFC 6750: a sentence for people, and the same in ``WWW-Authenticate`` for programs.

Make tokens, where we hold the secret.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jwt
import msgspec
from jwt import get_algorithm_by_name

from persona_stream.auth.keys import KeySource, keys_from_secret
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError, Unauthorized
from persona_stream.settings.schema import Settings

_CHALLENGE = 'Bearer realm="persona_stream"'
# RFC 6750 §3: the characters that error_description may have, which leave out the quote that would end it.
_FORBIDDEN = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def missing_token() -> Unauthorized:
    """Make the refusal of a request without a token: by RFC 6750 §3.1 its header has no error attribute."""
    return Unauthorized(
        "A token is missing: send it as `Authorization: Bearer <token>`", {"WWW-Authenticate": _CHALLENGE}
    )


def invalid_token(sentence: str) -> Unauthorized:
    """Make the refusal of a token, which says what is wrong with it and nothing that stood in it."""
    described = _FORBIDDEN.sub("?", sentence)
    return Unauthorized(
        sentence,
        {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token", error_description="{described}"'},
    )


# The last second of the year 9999. Beyond it are milliseconds that somebody took for seconds: such a token would
# hold for ever, which nobody meant.
_LAST_MOMENT = 253_402_300_799
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Say which tokens are meant for this server.

    Attributes:
        audience: ``aud`` must name one of these. A token that names any is not for a server that is none.
        issuer: ``iss`` must be this, if it is not ``None``.
        leeway: seconds that clocks may differ.
    """

    audience: tuple[str, ...] = ()
    issuer: str | None = None
    leeway: float = 0.0


def validate_claims(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> tuple[Principal, float]:
    """Give the caller that these claims speak of, and the moment when they end.

    Raises:
        Unauthorized: they do not hold here, or not now.
    """
    ends = _moment(claims, "exp")
    if ends is None:
        raise invalid_token("The token has no exp claim: it must say when it expires")
    if ends + rules.leeway <= now:
        raise invalid_token(f"The token expired at {_written(ends)}")
    starts = _moment(claims, "nbf")
    if starts is not None and starts - rules.leeway > now:
        raise invalid_token(f"The token is not valid before {_written(starts)} (nbf)")
    _check_audience(claims.get("aud"), rules.audience)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise invalid_token(f"The token is from another issuer: its iss claim must be {rules.issuer}")
    return Principal(_subject(claims.get("sub")), _scopes(claims.get("scope"))), ends + rules.leeway


def is_valid_subject(text: str) -> bool:
    """Tell whether a caller can be called this: not blank, and without control characters, which end up in logs."""
    return bool(text.strip()) and not _CONTROL.search(text)


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # A bool is an int to Python. NaN fails every comparison, so this one refuses it.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LAST_MOMENT:
        raise invalid_token(f"The token's {name} claim is not a moment: it must be a number of seconds since 1970")
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
            raise invalid_token(f"The token has no aud claim: it must be for {' or '.join(audience)}")
        return
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise invalid_token("The token's aud claim is neither a string nor a list of strings")
    if not audience:
        raise invalid_token(
            "The token is for an audience (aud), and this server has no name of its own: set jwt_audience"
        )
    if not set(named) & set(audience):
        raise invalid_token(f"The token is for another audience: its aud claim must name {' or '.join(audience)}")


def _subject(claim: object) -> str:
    if claim is None:
        raise invalid_token("The token has no sub claim: it must say who calls")
    if not isinstance(claim, str) or not is_valid_subject(claim):
        raise invalid_token("The token's sub claim is not the name of a caller: it must be a string, and not blank")
    return claim


def _scopes(claim: object) -> frozenset[str]:
    if claim is None:
        return frozenset({"chat"})
    if not isinstance(claim, str):
        raise invalid_token("The token's scope claim is not a string of scopes with spaces between")
    return frozenset(claim.split())


_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_OBJECT = msgspec.json.Decoder(dict[str, Any])


class CompactJWS(NamedTuple):
    """What a token consists of. Nothing of it is to be believed before ``is_signed_with`` says so."""

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def is_signed_with(self, key: Any, algorithm: str) -> bool:
        """Tell whether this key made the signature. The algorithm is the caller's choice, not the header's."""
        return get_algorithm_by_name(algorithm).verify(self.signing_input, key, self.signature)

    def claims(self) -> dict[str, Any]:
        """Give the payload as an object. Stricter than Python's own parser: no NaN, no lone surrogates.

        Raises:
            ValueError: it is none.
        """
        return _parsed(self.payload)


def parse_jws(token: str) -> CompactJWS:
    """Take a token apart.

    Raises:
        ValueError: it is not of this form, or its header is not an object.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        raise ValueError("it is not three segments of base64url")
    header, payload, signature = (_decoded(segment) for segment in found.groups())
    return CompactJWS(_parsed(header), payload, token[: found.end(2)].encode("ascii"), signature)


def _decoded(segment: str) -> bytes:
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    # The last character may have bits that no byte takes; they must be zero, so that a signature is written one way.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment.encode("ascii"):
        raise ValueError("it is not canonical base64url")
    return data


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return _OBJECT.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("it is not a JSON object") from error


_LONGEST = 8 * 1024
_MALFORMED = "The token is not a JSON Web Token"


class JWTVerifier:
    """Check tokens: signature, claims; and remember those that passed, because a client sends its own again and again.

    What is remembered is a digest, so that a dump of the memory holds no tokens.
    """

    def __init__(self, keys: KeySource, rules: ClaimRules, clock: Clock, remembers: int = 10_000) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._remembers = remembers
        self._remembered: dict[bytes, tuple[Principal, float]] = {}

    def verify(self, token: str) -> Principal:
        if len(token) > _LONGEST:
            raise invalid_token(f"The token is longer than {_LONGEST} characters")
        now = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        principal, ends = validate_claims(self._claims(token), self._rules, now)
        self._cache(digest, principal, min(ends, now + self._keys.max_age))
        return principal

    @property
    def cached(self) -> int:
        """Say how many tokens are remembered."""
        return len(self._remembered)

    def _cache(self, digest: bytes, principal: Principal, until: float) -> None:
        self._remembered.pop(digest, None)
        if len(self._remembered) >= self._remembers:
            del self._remembered[next(iter(self._remembered))]  # the oldest: a dictionary keeps the order
        self._remembered[digest] = principal, until

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            signed = parse_jws(token)
        except ValueError:
            raise invalid_token(_MALFORMED) from None
        self._check_signature(signed)
        try:
            return signed.claims()
        except ValueError:
            raise invalid_token("The token's claims are not a JSON object") from None

    def _check_signature(self, signed: CompactJWS) -> None:
        # A header may also bring a key of its own, or say where one is (jwk, jku, x5c, x5u): nobody looks at those.
        algorithm, kid = signed.header.get("alg"), signed.header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
            raise invalid_token(f"The token's alg must be {' or '.join(self._keys.algorithms)}")
        if not isinstance(kid, str | None):
            raise invalid_token(_MALFORMED)
        if "crit" in signed.header:
            raise invalid_token("The token demands an extension (crit) that this server does not have")
        candidates = self._keys.keys_for(algorithm, kid)
        if not candidates:
            raise invalid_token("The token is signed with a key that this server does not know (kid)")
        if not any(signed.is_signed_with(key, algorithm) for key in candidates):
            raise invalid_token("The token is not signed with this server's key")


def issue_token(
    secret: str,
    subject: str,
    expires: float,
    scope: str = "",
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> str:
    """Make a token that a verifier of the same secret and settings takes.

    Args:
        secret: the configured secret, or the made one.
        subject: who calls.
        expires: after how many seconds it ends.
        scope: scopes with spaces between; an empty one leaves the claim out, which means ``chat``.
        settings: what the verifier asks for: audience, issuer, algorithms.
        clock: the moment in seconds since 1970.

    Raises:
        ConfigurationError: tokens are checked with a public key, or the secret cannot be used.
        ValueError: nobody can be called this.
    """
    settings, clock = settings or Settings(), clock or monotonic_wall_clock()
    if settings.jwt_public_key is not None or settings.jwks_url is not None:
        name = "jwt_public_key" if settings.jwt_public_key is not None else "jwks_url"
        raise ConfigurationError(
            f"Tokens are checked with {name} here, and only who holds its private key can make one: ask whoever does"
        )
    if not is_valid_subject(subject):
        raise ValueError("a user's name is not blank and has no control characters")
    claims: dict[str, Any] = {"sub": subject, "exp": math.ceil(clock() + expires)}
    if scope:
        claims["scope"] = scope
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    keys = keys_from_secret(secret, settings.jwt_algorithms)
    return jwt.encode(claims, secret, algorithm=keys.algorithms[0])
