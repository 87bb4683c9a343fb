"""Verification of bearer tokens, hostile ones above all; the 401 challenge; claims; and issue of tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.base import is_valid_subject, missing_token
from persona_stream.auth.jwt import (
    TokenVerifier,
    create_verifier,
    issue_token,
)
from persona_stream.auth.keys import FixedKeys, keys_from_pem, keys_from_secret
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError, Unauthorized
from persona_stream.settings.schema import Settings
from tests.auth.token_forgery import EC, ED, GOOD, NOW, OTHER_RSA, RSA, SECRET, encoded, jwk, pem, signed, token
from tests.fakes import FakeClock

ANN = Principal("ann", frozenset({"chat"}))


def with_secret(clock: FakeClock | None = None, settings: Settings | None = None) -> TokenVerifier:
    return TokenVerifier(keys_from_secret(SECRET, ()), clock or FakeClock(NOW), settings or Settings())


@pytest.fixture(scope="module")
def with_public_key(tmp_path_factory: pytest.TempPathFactory) -> TokenVerifier:
    file: Path = tmp_path_factory.mktemp("keys") / "public.pem"
    file.write_text(pem(RSA))
    return TokenVerifier(keys_from_pem(file, ()), FakeClock(NOW), Settings())


def refusal(verifier: TokenVerifier, hostile: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        verifier.verify(hostile)
    header = caught.value.headers["WWW-Authenticate"]
    assert header.startswith('Bearer realm="persona_stream", error="invalid_token", error_description="The token')
    return caught.value.message


def test_a_valid_token_is_accepted() -> None:
    """Other header fields are ignored."""
    verifier = with_secret()
    assert verifier.verify(token(GOOD)) == ANN
    assert verifier.verify(token(GOOD, {"alg": "HS256", "typ": "at+jwt", "kid": "7"})) == ANN
    assert verifier.verify(token(GOOD | {"scope": "chat admin"})).scopes == {"chat", "admin"}


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_a_token_signed_with_a_private_key_is_accepted(with_public_key: TokenVerifier, algorithm: str) -> None:
    """Every algorithm that fits the key counts, and with a single key any kid does."""
    assert with_public_key.verify(signed(GOOD, RSA, algorithm, kid="any")) == ANN


MALFORMED = "The token is not a supported JSON Web Token"
WRONG_ALGORITHM = "The token's alg must be HS256"
WRONG_SIGNATURE = "The token's signature is invalid"
NOT_CLAIMS = "The token's claims are not a JSON object"
HEAD, BODY, SIGNATURE = token(GOOD).split(".")
ZWNJ = "\u200c"
# Not all bits of the last character count: this one encodes the same bytes in a non-canonical form.
LAST = chr(ord(SIGNATURE[-1]) + 1)


@pytest.mark.parametrize(
    ("hostile", "sentence"),
    [
        (".", MALFORMED),
        ("..", MALFORMED),
        ("nonsense", MALFORMED),
        (f"{HEAD}.{BODY}", MALFORMED),
        (f"{HEAD}.{BODY}.{SIGNATURE}.{SIGNATURE}", MALFORMED),
        (f"{HEAD}.{BODY}.{SIGNATURE}{ZWNJ}", MALFORMED),
        (f"{HEAD}.{BODY}.{SIGNATURE[:-1]}é", MALFORMED),
        (f"{HEAD}.{BODY}.", WRONG_SIGNATURE),
        (f"{HEAD}.{BODY}.{SIGNATURE[4:]}", WRONG_SIGNATURE),
        (f"{HEAD}.{BODY}.{SIGNATURE}=", MALFORMED),
        (f" {HEAD}.{BODY}.{SIGNATURE}", MALFORMED),
        (f"{HEAD}.{BODY}.{SIGNATURE}\n", MALFORMED),
        (f"{HEAD}.{BODY}.{SIGNATURE[:-1]}{LAST}", MALFORMED),
        (f".{BODY}.{SIGNATURE}", MALFORMED),
        (f"{HEAD}..{SIGNATURE}", MALFORMED),
        (f"{HEAD}.{encoded(GOOD | {'sub': 'root'})}.{SIGNATURE}", WRONG_SIGNATURE),
        (f"{encoded({'alg': 'HS256', 'x': 1})}.{BODY}.{SIGNATURE}", WRONG_SIGNATURE),
        (token(GOOD, secret=b"another secret that is long enough, too"), WRONG_SIGNATURE),
        (token(GOOD, secret=b""), WRONG_SIGNATURE),
        ("x" * 8193, "The token is longer than 8192 characters"),
        (token(GOOD | {"padding": "x" * 8192}), "The token is longer than 8192 characters"),
        # no signature, in each spelling
        *((f"{encoded({'alg': none})}.{BODY}.", WRONG_ALGORITHM) for none in ("none", "None", "NONE", "nOnE", "")),
        *((f"{encoded({'alg': none})}.{BODY}.{SIGNATURE}", WRONG_ALGORITHM) for none in ("none", None, 0, True, [])),
        # a valid signature under a false header
        *(
            (token(GOOD, {"alg": other}), WRONG_ALGORITHM)
            for other in (
                "hs256",
                "HS256 ",
                "HS384",
                "HS512",
                "RS256",
                "ES256",
                ["HS256"],
                {"HS256": 1},
                "HS256\x00",
                256,
            )
        ),
        (token(GOOD, {}), WRONG_ALGORITHM),
        (token(GOOD, {"typ": "JWT"}), WRONG_ALGORITHM),
        *((token(GOOD, {"alg": "HS256", "kid": kid}), MALFORMED) for kid in (5, ["7"], {"a": 1}, True)),
        *((token(GOOD, header), MALFORMED) for header in (b"[]", b"null", b"5", b'"a"', b"{", b"\xff\xfe", b"")),
        (token(GOOD, b"[" * 5000), MALFORMED),
        (token(GOOD, b'{"a":' * 1000), MALFORMED),
        (token(GOOD, {"alg": "HS256", "crit": ["b64"], "b64": False}), MALFORMED),
        (token(GOOD, {"alg": "HS256", "crit": ["exp"], "exp": 0}), MALFORMED),
        # a valid signature over a payload without claims
        *((token(claims), NOT_CLAIMS) for claims in (b"[]", b"null", b"5", b"{", b"\xff", b'{"sub":"\xff"}')),
        (token(b'{"sub":"ann","exp":NaN}'), NOT_CLAIMS),
        (token(b'{"sub":"ann","exp":1e999}'), NOT_CLAIMS),
        (token(b'{"sub":"ann\\ud800","exp":1900000000}'), NOT_CLAIMS),
        (token(b'{"a":' * 1000), NOT_CLAIMS),
        (token(b'{"sub":"ann","exp":Infinity}'), NOT_CLAIMS),
        (token(GOOD | {"exp": NOW}), "The token expired at 2027-01-15T08:00:00Z"),
        (token(GOOD | {"nbf": NOW + 3600}), "The token is not valid before 2027-01-15T09:00:00Z (nbf)"),
        (token({"sub": "ann"}), "The token has no exp claim"),
    ],
)
def test_a_hostile_token_is_refused_with_its_reason(hostile: str, sentence: str) -> None:
    """No hostile token causes anything but a 401."""
    assert refusal(with_secret(), hostile) == sentence


def test_a_public_key_is_never_used_as_an_hmac_secret(with_public_key: TokenVerifier) -> None:
    """Key confusion: a token signed with HMAC and the public key is refused."""
    for form in (pem(RSA), pem(RSA).strip(), json.dumps(jwk(RSA, "RS256"))):
        for algorithm in ("HS256", "RS256"):
            confused = token(GOOD, {"alg": algorithm}, form.encode())
            assert refusal(with_public_key, confused) in (
                "The token's alg must be RS256 or RS384 or RS512 or PS256 or PS384 or PS512",
                WRONG_SIGNATURE,
            )


def test_a_key_in_the_token_header_is_ignored(with_public_key: TokenVerifier) -> None:
    """Neither an embedded key counts nor one that the header points to, and no URL in it is fetched."""
    for header in (
        {"jwk": jwk(OTHER_RSA, "RS256")},
        {"jku": "http://127.0.0.1:9/keys.json"},
        {"x5u": "http://127.0.0.1:9/certificate"},
        {"x5c": ["MIIB"]},
    ):
        assert refusal(with_public_key, signed(GOOD, OTHER_RSA, "RS256", **header)) == WRONG_SIGNATURE
        assert with_public_key.verify(signed(GOOD, RSA, "RS256", **header)) == ANN


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/dev/null", "' OR 1=1 --", "http://127.0.0.1:9/", "a\x00b", "\r\nX: y", "", "x" * 3000],
)
def test_a_kid_is_only_compared(with_public_key: TokenVerifier, kid: str) -> None:
    """It is not opened, queried or fetched, and the error does not repeat it."""
    assert with_secret().verify(token(GOOD, {"alg": "HS256", "kid": kid})) == ANN
    assert refusal(with_public_key, signed(GOOD, OTHER_RSA, "RS256", kid=kid)) == WRONG_SIGNATURE
    assert refusal(with_secret(), token(GOOD, {"alg": "HS256", "kid": kid}, b"")) == WRONG_SIGNATURE


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")])
@pytest.mark.parametrize("signature", [b"", b"x", b"\x00" * 64, b"\xff" * 64, b"\x00" * 256, b"\xff" * 1000])
def test_a_malformed_signature_is_an_invalid_signature(key: Any, algorithm: str, signature: bytes) -> None:
    """Too short, too long, all zeros: no algorithm accepts it or raises another error."""
    verifier = TokenVerifier(FixedKeys({algorithm: key.public_key()}), FakeClock(NOW), Settings())
    good = signed(GOOD, key, algorithm)
    assert verifier.verify(good) == ANN
    assert refusal(verifier, f"{good.rpartition('.')[0]}.{encoded(signature)}") == WRONG_SIGNATURE


def test_an_algorithm_for_another_key_type_is_refused(with_public_key: TokenVerifier) -> None:
    """The kind of the key limits the algorithms."""
    assert refusal(with_public_key, signed(GOOD, EC, "ES256")).startswith("The token's alg must be RS256")


def test_an_empty_token_is_a_missing_one() -> None:
    """Its challenge has no error attribute: the client has not tried yet."""
    with pytest.raises(Unauthorized) as caught:
        with_secret().verify("")
    assert caught.value.headers == missing_token().headers


@given(st.text(min_size=1, max_size=200))
def test_arbitrary_text_is_refused(text: str) -> None:
    """The error does not repeat the text."""
    assert refusal(with_secret(), text) == MALFORMED


@given(st.data())
def test_a_token_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    """The position of the character does not matter."""
    good = token(GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.sampled_from("AZaz09-_.=+/ \n~").filter(lambda character: character != good[at]))
    refusal(with_secret(), good[:at] + changed + good[at + 1 :])


SIMPLE = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["HS256", "none"])
JSON = SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.text(max_size=3), SIMPLE, max_size=2)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "cty", "jwk", "x5u"]), JSON)


@given(HEADERS, st.binary(max_size=40) | st.just(json.dumps(GOOD).encode()), st.booleans())
def test_a_token_is_accepted_only_with_our_signature_the_allowed_algorithm_and_valid_claims(
    header: dict[str, Any], claims: bytes, has_our_signature: bool
) -> None:
    """Any other combination of header and payload is refused."""
    hostile = token(claims, header, SECRET.encode() if has_our_signature else b"another secret of the same length")
    try:
        principal = with_secret().verify(hostile)
    except Unauthorized:
        return
    assert (principal, has_our_signature, header["alg"], json.loads(claims)) == (ANN, True, "HS256", GOOD)


class CountingKeys:
    """Key source that counts its calls."""

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, max_age: float) -> None:
        self.max_age = max_age
        self.calls = 0

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        self.calls += 1
        return [SECRET.encode()]


def test_an_accepted_token_is_cached_until_it_expires() -> None:
    """Its signature is verified once, and it is refused after its expiry."""
    clock, keys = FakeClock(NOW), CountingKeys(float("inf"))
    verifier = TokenVerifier(keys, clock, Settings(jwt_leeway=5))
    good = token(GOOD)
    for seconds in (0, 30, 64.9):
        clock.now = NOW + seconds
        assert verifier.verify(good) == ANN
    assert keys.calls == 1
    clock.now = NOW + 65
    assert refusal(verifier, good) == "The token expired at 2027-01-15T08:01:00Z"


def test_a_refused_token_is_not_cached() -> None:
    """A token that was not valid yet is accepted later."""
    clock = FakeClock(NOW)
    verifier = with_secret(clock)
    early = token(GOOD | {"nbf": NOW + 30})
    assert refusal(verifier, early).startswith("The token is not valid before")
    clock.now = NOW + 30
    assert verifier.verify(early) == ANN


def test_a_cached_token_is_verified_again_after_the_keys_max_age() -> None:
    """A withdrawn key does not live on in the cache."""
    clock, keys = FakeClock(NOW), CountingKeys(300)
    verifier = TokenVerifier(keys, clock, Settings())
    good = token(GOOD | {"exp": NOW + 10_000})
    for seconds in (0, 299, 300, 599, 600):
        clock.now = NOW + seconds
        verifier.verify(good)
    assert keys.calls == 3


def test_the_cache_is_bounded() -> None:
    """The oldest token is evicted, and accepted again later."""
    keys = FixedKeys({"HS256": SECRET.encode()})
    verifier = TokenVerifier(keys, FakeClock(NOW), Settings(), max_cached=3)
    tokens = [token(GOOD | {"sub": f"user {number}"}) for number in range(5)]
    for _ in range(2):
        assert [verifier.verify(each).subject for each in tokens] == [f"user {number}" for number in range(5)]
    assert len(verifier._cache) == 3


def test_cached_tokens_keep_their_own_callers() -> None:
    """A cached principal belongs to its token alone."""
    verifier = with_secret()
    for name in ("ann", "bob", "ann"):
        assert verifier.verify(token(GOOD | {"sub": name})).subject == name


def accepted(claims: dict[str, Any], settings: Settings | None = None) -> Principal:
    return with_secret(settings=settings).verify(token(GOOD | claims))


def refused(claims: dict[str, Any], settings: Settings | None = None) -> str:
    return refusal(with_secret(settings=settings), token(GOOD | claims))


@pytest.mark.parametrize(
    ("claims", "principal"),
    [
        ({}, Principal("ann", frozenset({"chat"}))),
        ({"scope": None}, Principal("ann", frozenset({"chat"}))),
        ({"scope": "admin"}, Principal("ann", frozenset({"admin"}))),
        ({"scope": " chat  admin "}, Principal("ann", frozenset({"chat", "admin"}))),
        ({"scope": ""}, Principal("ann", frozenset())),
        ({"sub": "安 e\u0301 👩‍💻"}, Principal("安 e\u0301 👩‍💻")),
        ({"sub": "x" * 5000}, Principal("x" * 5000)),
        ({"exp": NOW + 0.5, "nbf": NOW}, Principal("ann")),
        ({"nbf": -1, "iat": "nonsense", "jti": 5, "anything": [1]}, Principal("ann")),
        ({"exp": 253_402_300_799}, Principal("ann")),
        ({"iss": 5, "aud": []}, Principal("ann")),
    ],
)
def test_valid_claims_give_the_caller_and_the_scopes(claims: dict[str, Any], principal: Principal) -> None:
    """A token without scopes may ``chat``."""
    assert accepted(claims) == principal


INVALID = "The token has an invalid claim: Expected `{}`, got `{}` - at `$.{}`"
TOO_LATE = "The token has an invalid claim: Expected `float` <= 253402300799.0 - at `$.{}`"
BAD_SUBJECT = "The token's sub claim must not be blank or contain control characters"


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": None}, "The token has no exp claim"),
        ({"exp": NOW}, "The token expired at 2027-01-15T08:00:00Z"),
        ({"exp": 0}, "The token expired at 1970-01-01T00:00:00Z"),
        ({"exp": -1}, "The token expired at 1969-12-31T23:59:59Z"),
        ({"exp": -62_135_596_800}, "The token expired at 0001-01-01T00:00:00Z"),
        ({"exp": -62_135_596_801}, "The token has an invalid claim: Expected `float` >= -62135596800.0 - at `$.exp`"),
        ({"exp": str(NOW + 60)}, INVALID.format("float", "str", "exp")),
        ({"exp": float("nan")}, NOT_CLAIMS),
        ({"exp": float("inf")}, NOT_CLAIMS),
        ({"exp": 1e300}, TOO_LATE.format("exp")),
        ({"exp": 10**400}, "The token has an invalid claim: Number out of range - at `$.exp`"),
        ({"exp": (NOW + 60) * 1000}, TOO_LATE.format("exp")),
        ({"exp": True}, INVALID.format("float", "bool", "exp")),
        ({"exp": [NOW + 60]}, INVALID.format("float", "array", "exp")),
        ({"nbf": NOW + 1}, "The token is not valid before 2027-01-15T08:00:01Z (nbf)"),
        ({"nbf": "0"}, INVALID.format("float | null", "str", "nbf")),
        ({"nbf": float("nan")}, NOT_CLAIMS),
        ({"nbf": 10**400}, "The token has an invalid claim: Number out of range - at `$.nbf`"),
        ({"sub": None}, "The token has no sub claim"),
        *(
            ({"sub": wrong}, INVALID.format("str", kind, "sub"))
            for wrong, kind in ((5, "int"), (["ann"], "array"), ({"a": 1}, "object"), (True, "bool"))
        ),
        *(({"sub": wrong}, BAD_SUBJECT) for wrong in ("", "  ", "\u3000", "ann\r\nX: y", "ann\x00", "\x1b[31m")),
        ({"sub": "\ud800"}, NOT_CLAIMS),
        ({"scope": ["chat"]}, INVALID.format("str | null", "array", "scope")),
        ({"scope": 5}, INVALID.format("str | null", "int", "scope")),
        ({"aud": "elsewhere"}, "The token has an aud claim, but jwt_audience is not set"),
    ],
)
def test_invalid_claims_are_refused(claims: dict[str, Any], sentence: str) -> None:
    """The message names the claim and the rule."""
    assert refused(claims) == sentence


OURS = Settings(jwt_audience=("us", "also-us"))


@pytest.mark.parametrize("claim", ["us", ["them", "us"], ["also-us"]])
def test_a_token_for_one_of_our_audiences_is_accepted(claim: object) -> None:
    """One match is enough."""
    assert accepted({"aud": claim}, OURS).subject == "ann"


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        *((claims, "The token has no aud claim") for claims in ({}, {"aud": ""}, {"aud": []})),
        *(
            ({"aud": wrong}, "The token's aud claim must contain us or also-us")
            for wrong in ("them", "u", ["US"], {"us": 1}, ["us", 5], 5)
        ),
    ],
)
def test_a_token_for_another_audience_is_refused(claims: dict[str, Any], sentence: str) -> None:
    """Audiences are compared whole and case-sensitively."""
    assert refused(claims, OURS) == sentence


def test_the_issuer_must_match() -> None:
    """A configured issuer is required."""
    settings = Settings(jwt_issuer="https://id.example")
    assert accepted({"iss": "https://id.example"}, settings).subject == "ann"
    for issuer in ("https://id.example/", ["https://id.example"], None):
        assert refused({"iss": issuer}, settings) == "The token's iss claim must be https://id.example"
    assert refused({}, settings) == "The token has no iss claim"


def test_the_leeway_extends_both_ends() -> None:
    """The limit itself counts as before."""
    settings = Settings(jwt_leeway=10)
    assert accepted({"exp": NOW - 9, "nbf": NOW + 10}, settings) == Principal("ann")
    assert refused({"exp": NOW - 10}, settings) == "The token expired at 2027-01-15T07:59:50Z"
    assert refused({"nbf": NOW + 11}, settings).startswith("The token is not valid before")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=1)


@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "aud", "iss", "scope", "iat"]), VALUES))
def test_any_claims_are_accepted_or_refused(claims: dict[str, Any]) -> None:
    """Nothing else is raised, and an accepted caller has a valid subject and a token that has not expired."""
    for settings in (Settings(), Settings(jwt_audience=("us",), jwt_issuer="me", jwt_leeway=5)):
        try:
            principal = with_secret(settings=settings).verify(token(claims))
        except Unauthorized:
            continue
        assert is_valid_subject(principal.subject)
        assert claims["exp"] + settings.jwt_leeway > NOW


CLOCK = FakeClock(NOW)


def issued(*args: Any, **options: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(issue_token(*args, clock=CLOCK, **options), options={"verify_signature": False})
    return claims


def test_an_issued_token_has_subject_and_expiry() -> None:
    """The scope is left out where it is the default."""
    assert issued(SECRET, "ann", 60) == {"sub": "ann", "exp": NOW + 60}
    assert issued(SECRET, "安", 0.5, scope="chat admin") == {"sub": "安", "exp": NOW + 1, "scope": "chat admin"}


def test_the_expiry_of_a_token_can_be_read() -> None:
    """For the lifetime of a cookie."""
    assert with_secret().expiry(token(GOOD)) == NOW + 60


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"jwt_audience": ("us", "also-us"), "jwt_issuer": "https://id.example"},
        {"jwt_algorithms": ("HS512", "HS384")},
    ],
)
def test_an_issued_token_is_accepted_until_it_expires(values: dict[str, Any]) -> None:
    """The verifier has the same settings."""
    settings, secret, clock = Settings(**values), "x" * 64, FakeClock(NOW)
    verify = create_verifier(settings, secret, clock).verify
    issued_token = issue_token(secret, "ann", 60, scope="admin", settings=settings, clock=clock)
    assert verify(issued_token) == Principal("ann", frozenset({"admin"}))
    clock.now = NOW + 60
    with pytest.raises(Unauthorized, match="expired"):
        verify(issued_token)


@pytest.mark.parametrize("name", ["jwt_public_key", "jwks_url"])
def test_no_token_is_issued_without_the_private_key(name: str) -> None:
    """A public key only verifies."""
    settings = Settings(jwt_public_key=Path("k")) if name == "jwt_public_key" else Settings(jwks_url="http://k")
    with pytest.raises(ConfigurationError, match=f"^Tokens are verified with {name}, so this server cannot issue any"):
        issue_token(SECRET, "ann", 60, settings=settings)


def test_no_token_is_issued_with_a_short_secret() -> None:
    """No verifier would accept it."""
    with pytest.raises(ConfigurationError, match="jwt_secret has 5 bytes"):
        issue_token("short", "ann", 60)


@pytest.mark.parametrize("subject", ["", " ", "a\nb", "\ud800"])
def test_no_token_is_issued_for_an_invalid_subject(subject: str) -> None:
    """The verifier would refuse it."""
    with pytest.raises(ValueError, match="must not be blank"):
        issue_token(SECRET, subject, 60)
