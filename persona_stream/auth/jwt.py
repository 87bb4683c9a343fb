"""JSON Web Tokens (RFC 7519): verification of bearer tokens (RFC 6750), and issue with the server's own secret.

Invariants:

- The configuration decides which algorithms and keys count, never the token (RFC 8725 §2.1): a key that a header
  carries or points to (jwk, jku, x5c, x5u) is ignored.
- A token without ``exp`` and ``sub`` is refused. ``iat`` and ``jti`` are not conditions.
- The cache holds digests, so that a memory dump contains no tokens; error texts contain no claims but times.
"""

import hashlib
import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
import msgspec

from persona_stream.auth.base import invalid_token, is_valid_subject, missing_token, require_valid_subject
from persona_stream.auth.jwks import JWKSKeySource
from persona_stream.auth.keys import KeySource, keys_from_pem, keys_from_secret, require_cryptography
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings

MAX_TOKEN_CHARACTERS = 8 * 1024
_COMPACT_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # PyJWT accepts padding as well
# Exp and nbf are checked here: PyJWT reads the system clock, drops fractions, and accepts texts and booleans as times.
_OPTIONS: Any = {
    "require": ["exp", "sub"],
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_jti", "verify_sub"), False),
}

# From the year 1 to 9999: an exp in milliseconds by mistake would never come.
Timestamp = Annotated[float, msgspec.Meta(ge=-62_135_596_800, le=253_402_300_799)]


class Claims(msgspec.Struct, frozen=True):
    """Claims that PyJWT does not check."""

    exp: Timestamp
    sub: str
    nbf: Timestamp | None = None
    scope: str | None = None


class _StrictJWT(jwt.PyJWT):
    """PyJWT with a strict JSON parser for claims: no NaN, no infinity, no lone surrogates."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        try:
            return msgspec.json.decode(decoded["payload"], type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            raise invalid_token("The token's claims are not a JSON object") from None


class TokenVerifier:
    """Verifier of bearer tokens with a cache of ``max_cached`` tokens, since clients send the same token repeatedly."""

    def __init__(self, keys: KeySource, clock: Clock, settings: Settings, max_cached: int = 10_000) -> None:
        self._keys = keys
        self._clock = clock
        self._settings = settings
        self._max_cached = max_cached
        self._cache: dict[bytes, tuple[Principal, float]] = {}
        self._jwt = _StrictJWT()

    def verify(self, token: str) -> Principal:
        """Return the caller that a token names. Blocks only while keys are fetched, for some seconds at most.

        Raises:
            Unauthorized: the token is not valid; the reason is in the message and in ``WWW-Authenticate``.
            Unavailable: the keys cannot be fetched.
        """
        if not token:
            raise missing_token()
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise invalid_token(f"The token is longer than {MAX_TOKEN_CHARACTERS} characters")
        now = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        principal, expires = self._cache.get(digest, (None, 0.0))
        if principal is None or now >= expires:
            claims = self._decode(token)
            expires = self._check_times(claims, now)
            scopes = frozenset({"chat"} if claims.scope is None else claims.scope.split())
            principal = Principal(claims.sub, scopes)
            self._cache.pop(digest, None)
            if len(self._cache) >= self._max_cached:
                del self._cache[next(iter(self._cache))]  # the oldest: a dictionary keeps insertion order
            self._cache[digest] = principal, min(expires, now + self._keys.max_age)
        return principal

    def expiry(self, token: str) -> float:
        """Return the ``exp`` claim of a verified token."""
        return float(jwt.decode(token, options={"verify_signature": False})["exp"])

    def _decode(self, token: str) -> Claims:
        audience = self._settings.jwt_audience
        try:
            claims = msgspec.convert(self._verify_signature(token), Claims)
        except jwt.MissingRequiredClaimError as error:
            raise invalid_token(f"The token has no {error.claim} claim") from None
        except jwt.InvalidAudienceError:
            if not audience:
                raise invalid_token("The token has an aud claim, but jwt_audience is not set") from None
            raise invalid_token(f"The token's aud claim must contain {' or '.join(audience)}") from None
        except jwt.InvalidIssuerError:
            raise invalid_token(f"The token's iss claim must be {self._settings.jwt_issuer}") from None
        except msgspec.ValidationError as error:
            raise invalid_token(f"The token has an invalid claim: {error}") from None
        except jwt.PyJWTError:
            raise invalid_token("The token is not a supported JSON Web Token") from None
        if not is_valid_subject(claims.sub):
            raise invalid_token("The token's sub claim must not be blank or contain control characters")
        return claims

    def _verify_signature(self, token: str) -> dict[str, Any]:
        if not _COMPACT_FORM.fullmatch(token):
            raise jwt.DecodeError
        header = jwt.get_unverified_header(token)
        algorithm: str = header.get("alg", "")
        if algorithm not in self._keys.algorithms:
            raise invalid_token(f"The token's alg must be {' or '.join(self._keys.algorithms)}")
        keys = self._keys.keys_for(algorithm, header.get("kid"))
        if not keys:
            raise invalid_token("The token's signing key (kid) is unknown to this server")
        expected: Any = {"audience": self._settings.jwt_audience or None, "issuer": self._settings.jwt_issuer}
        for key in keys:
            try:
                return self._jwt.decode(token, key, [algorithm], _OPTIONS, **expected)
            except jwt.InvalidSignatureError:
                continue
        raise invalid_token("The token's signature is invalid")

    def _check_times(self, claims: Claims, now: float) -> float:
        """Return the time at which a token expires, leeway included."""
        leeway = self._settings.jwt_leeway
        if claims.exp + leeway <= now:
            raise invalid_token(f"The token expired at {_format_time(claims.exp)}")
        if claims.nbf is not None and claims.nbf - leeway > now:
            raise invalid_token(f"The token is not valid before {_format_time(claims.nbf)} (nbf)")
        return claims.exp + leeway


def create_verifier(settings: Settings, secret: str, clock: Clock | None = None) -> TokenVerifier:
    """Create the verifier for the key that the settings name, else for ``secret``.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    clock = clock or monotonic_wall_clock()
    return TokenVerifier(_key_source(settings, secret, clock), clock, settings)


def _key_source(settings: Settings, secret: str, clock: Clock) -> KeySource:
    if settings.jwt_public_key is not None:
        return keys_from_pem(settings.jwt_public_key, settings.jwt_algorithms)
    if settings.jwks_url is not None:
        require_cryptography("jwks_url")
        return JWKSKeySource(settings.jwks_url, settings.jwt_algorithms, clock)
    return keys_from_secret(secret, settings.jwt_algorithms)


def _format_time(timestamp: float) -> str:
    return datetime.fromtimestamp(int(timestamp), UTC).isoformat().replace("+00:00", "Z")


def issue_token(
    secret: str, subject: str, expires: float, *, scope: str = "",
    settings: Settings | None = None, clock: Clock | None = None,
) -> str:  # fmt: skip
    """Create a token for ``expires`` seconds that a verifier with the same secret and settings accepts.

    Without ``scope``, a text of scopes between spaces, the claim is left out, which means ``chat``.

    Raises:
        ConfigurationError: tokens are verified with a public key, or the secret is unusable.
        ValueError: the subject is not valid.
    """
    settings = settings or Settings()
    for name in ("jwt_public_key", "jwks_url"):
        if getattr(settings, name) is not None:
            raise ConfigurationError(
                f"Tokens are verified with {name}, so this server cannot issue any: "
                "sign them with the matching private key"
            )
    require_valid_subject(subject)
    audience = next(iter(settings.jwt_audience), None)
    optional = {"scope": scope or None, "aud": audience, "iss": settings.jwt_issuer}
    claims: dict[str, Any] = {"sub": subject, "exp": math.ceil((clock or monotonic_wall_clock())() + expires)}
    claims |= {name: value for name, value in optional.items() if value is not None}
    keys = keys_from_secret(secret, settings.jwt_algorithms)
    return jwt.encode(claims, secret, algorithm=keys.algorithms[0])
