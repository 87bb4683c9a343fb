"""Tokens: those that come in, and those that hostile people make.

The header of a 401.

What claims must say.

Tokens that we make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.jwt import (
    ClaimRules,
    JWTVerifier,
    invalid_token,
    is_valid_subject,
    issue_token,
    missing_token,
    validate_claims,
)
from persona_stream.auth.keys import FixedKeys, keys_from_pem, keys_from_secret
from persona_stream.auth.verifier import create_verifier
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError, Unauthorized
from persona_stream.settings.schema import Settings
from tests.auth.token_forgery import EC, ED, GOOD, NOW, OTHER_RSA, RSA, SECRET, encoded, jwk, pem, signed, token
from tests.fakes import FakeClock

ANN = Principal("ann", frozenset({"chat"}))


def with_secret(clock: FakeClock | None = None) -> JWTVerifier:
    return JWTVerifier(keys_from_secret(SECRET, ()), ClaimRules(), clock or FakeClock(NOW))


@pytest.fixture(scope="module")
def with_public_key(tmp_path_factory: pytest.TempPathFactory) -> JWTVerifier:
    file: Path = tmp_path_factory.mktemp("keys") / "public.pem"
    file.write_text(pem(RSA))
    return JWTVerifier(keys_from_pem(file, ()), ClaimRules(), FakeClock(NOW))


def refusal(verifier: JWTVerifier, hostile: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        verifier.verify(hostile)
    header = caught.value.headers["WWW-Authenticate"]
    assert header.startswith('Bearer realm="persona_stream", error="invalid_token", error_description="The token')
    return caught.value.message


def test_a_good_token_comes_in() -> None:
    """Whatever else its header says, as long as that demands nothing."""
    verifier = with_secret()
    assert verifier.verify(token(GOOD)) == ANN
    assert verifier.verify(token(GOOD, {"alg": "HS256", "typ": "at+jwt", "kid": "7"})) == ANN
    assert verifier.verify(token(GOOD | {"scope": "chat admin"})).scopes == {"chat", "admin"}


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_a_good_token_of_a_private_key_comes_in(with_public_key: JWTVerifier, algorithm: str) -> None:
    """With every algorithm that fits the key, and whatever kid it names: there is only one key."""
    assert with_public_key.verify(signed(GOOD, RSA, algorithm, kid="any")) == ANN


MALFORMED = "The token is not a JSON Web Token"
WRONG_ALGORITHM = "The token's alg must be HS256"
WRONG_SIGNATURE = "The token is not signed with this server's key"
NOT_CLAIMS = "The token's claims are not a JSON object"
HEAD, BODY, SIGNATURE = token(GOOD).split(".")
ZWNJ = "\u200c"
# Only the first two or four bits of a last character count: this one says the same bytes otherwise.
LAST = chr(ord(SIGNATURE[-1]) + 1)


@pytest.mark.parametrize(
    ("hostile", "sentence"),
    [
        ("", MALFORMED),
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
        # no signature at all, in the ways that people write it
        *((f"{encoded({'alg': none})}.{BODY}.", WRONG_ALGORITHM) for none in ("none", "None", "NONE", "nOnE", "")),
        *((f"{encoded({'alg': none})}.{BODY}.{SIGNATURE}", WRONG_ALGORITHM) for none in ("none", None, 0, True, [])),
        # a good signature under a header that lies
        *(
            (token(GOOD, {"alg": lie}), WRONG_ALGORITHM)
            for lie in (
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
        (
            token(GOOD, {"alg": "HS256", "crit": ["b64"], "b64": False}),
            "The token demands an extension (crit) that this server does not have",
        ),
        (
            token(GOOD, {"alg": "HS256", "crit": ["exp"], "exp": 0}),
            "The token demands an extension (crit) that this server does not have",
        ),
        # an honest signature over claims that are none
        *((token(claims), NOT_CLAIMS) for claims in (b"[]", b"null", b"5", b"{", b"\xff", b'{"sub":"\xff"}')),
        (token(b'{"sub":"ann","exp":NaN}'), NOT_CLAIMS),
        (token(b'{"sub":"ann","exp":1e999}'), NOT_CLAIMS),
        (token(b'{"sub":"ann\\ud800","exp":1900000000}'), NOT_CLAIMS),
        (token(b'{"a":' * 1000), NOT_CLAIMS),
        (token(b'{"sub":"ann","exp":Infinity}'), NOT_CLAIMS),
        (token(GOOD | {"exp": NOW}), "The token expired at 2027-01-15T08:00:00Z"),
        (token(GOOD | {"nbf": NOW + 3600}), "The token is not valid before 2027-01-15T09:00:00Z (nbf)"),
        (token({"sub": "ann"}), "The token has no exp claim: it must say when it expires"),
    ],
)
def test_a_hostile_token_stays_out(hostile: str, sentence: str) -> None:
    """Each gets a sentence that says why, and none of them another outcome."""
    assert refusal(with_secret(), hostile) == sentence


def test_the_public_key_is_no_secret(with_public_key: JWTVerifier) -> None:
    """Key confusion: who signs with HMAC and the public key, which everybody has, stays out."""
    for form in (pem(RSA), pem(RSA).strip(), json.dumps(jwk(RSA, "RS256"))):
        for algorithm in ("HS256", "RS256"):
            confused = token(GOOD, {"alg": algorithm}, form.encode())
            assert refusal(with_public_key, confused) in (
                "The token's alg must be RS256 or RS384 or RS512 or PS256 or PS384 or PS512",
                WRONG_SIGNATURE,
            )


def test_a_key_that_the_token_brings_along_is_not_used(with_public_key: JWTVerifier) -> None:
    """Neither one that stands in the header, nor one that stands where the header says: nobody goes there."""
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
def test_a_kid_is_a_name_and_nothing_else(with_public_key: JWTVerifier, kid: str) -> None:
    """It is not opened, queried or fetched, and does not come back in the answer."""
    assert with_secret().verify(token(GOOD, {"alg": "HS256", "kid": kid})) == ANN
    assert refusal(with_public_key, signed(GOOD, OTHER_RSA, "RS256", kid=kid)) == WRONG_SIGNATURE
    assert refusal(with_secret(), token(GOOD, {"alg": "HS256", "kid": kid}, b"")) == WRONG_SIGNATURE


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")])
@pytest.mark.parametrize("signature", [b"", b"x", b"\x00" * 64, b"\xff" * 64, b"\x00" * 256, b"\xff" * 1000])
def test_a_signature_of_any_shape_is_only_wrong(key: Any, algorithm: str, signature: bytes) -> None:
    """Too short, too long, all zeros: no algorithm takes it, and none stumbles over it."""
    verifier = JWTVerifier(FixedKeys({algorithm: key.public_key()}), ClaimRules(), FakeClock(NOW))
    good = signed(GOOD, key, algorithm)
    assert verifier.verify(good) == ANN
    assert refusal(verifier, f"{good.rpartition('.')[0]}.{encoded(signature)}") == WRONG_SIGNATURE


def test_another_curve_or_key_kind_does_not_verify(with_public_key: JWTVerifier) -> None:
    """An algorithm that does not fit the key is not tried."""
    assert refusal(with_public_key, signed(GOOD, EC, "ES256")).startswith("The token's alg must be RS256")


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    """Whatever stands behind ``Bearer`` is refused like a token, and is not in the answer."""
    assert refusal(with_secret(), text) == MALFORMED


@given(st.data())
def test_a_changed_token_stays_out(data: st.DataObject) -> None:
    """A token in which one character is another does not come in, whichever it is."""
    good = token(GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.sampled_from("AZaz09-_.=+/ \n~").filter(lambda character: character != good[at]))
    refusal(with_secret(), good[:at] + changed + good[at + 1 :])


SIMPLE = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["HS256", "none"])
JSON = SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.text(max_size=3), SIMPLE, max_size=2)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "cty", "jwk", "x5u"]), JSON)


@given(HEADERS, st.binary(max_size=40) | st.just(json.dumps(GOOD).encode()), st.booleans())
def test_whatever_a_signed_token_says_it_comes_in_or_is_refused(
    header: dict[str, Any], claims: bytes, is_ours: bool
) -> None:
    """Nothing else happens; and in comes only what is signed by us, under the one algorithm, with good claims."""
    hostile = token(claims, header, SECRET.encode() if is_ours else b"another secret, which is as long as ours")
    try:
        principal = with_secret().verify(hostile)
    except Unauthorized:
        return
    assert (principal, is_ours, header["alg"], json.loads(claims)) == (ANN, True, "HS256", GOOD)


class CountingKeys:
    """Count how often a signature is checked."""

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, trusted_for: float) -> None:
        self.max_age = trusted_for
        self.asked = 0

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        self.asked += 1
        return [SECRET.encode()]


def test_a_token_that_passed_is_remembered_until_it_expires() -> None:
    """Its signature is checked once; when it expires it is refused like any other."""
    clock, keys = FakeClock(NOW), CountingKeys(float("inf"))
    verifier = JWTVerifier(keys, ClaimRules(leeway=5), clock)
    good = token(GOOD)
    for seconds in (0, 30, 64.9):
        clock.now = NOW + seconds
        assert verifier.verify(good) == ANN
    assert keys.asked == 1
    clock.now = NOW + 65
    assert refusal(verifier, good) == "The token expired at 2027-01-15T08:01:00Z"


def test_a_token_that_failed_is_not_remembered() -> None:
    """One that comes too early may come again."""
    clock = FakeClock(NOW)
    verifier = with_secret(clock)
    early = token(GOOD | {"nbf": NOW + 30})
    assert refusal(verifier, early).startswith("The token is not valid before")
    clock.now = NOW + 30
    assert verifier.verify(early) == ANN


def test_what_is_remembered_is_checked_again_when_keys_may_have_changed() -> None:
    """A key that its publisher withdraws does not live on in the memory of tokens."""
    clock, keys = FakeClock(NOW), CountingKeys(300)
    verifier = JWTVerifier(keys, ClaimRules(), clock)
    good = token(GOOD | {"exp": NOW + 10_000})
    for seconds in (0, 299, 300, 599, 600):
        clock.now = NOW + seconds
        verifier.verify(good)
    assert keys.asked == 3


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten, and passes again when it comes again."""
    keys = FixedKeys({"HS256": SECRET.encode()})
    verifier = JWTVerifier(keys, ClaimRules(), FakeClock(NOW), remembers=3)
    tokens = [token(GOOD | {"sub": f"user {number}"}) for number in range(5)]
    for _ in range(2):
        assert [verifier.verify(each).subject for each in tokens] == [f"user {number}" for number in range(5)]
    assert verifier.cached == 3


def test_two_tokens_are_two_callers() -> None:
    """What is remembered of one is never said of another."""
    verifier = with_secret()
    for name in ("ann", "bob", "ann"):
        assert verifier.verify(token(GOOD | {"sub": name})).subject == name


def test_a_missing_token_is_no_error() -> None:
    """RFC 6750 §3.1: without credentials the challenge has no error attribute."""
    refusal = missing_token()
    assert (refusal.status, refusal.code) == (401, "unauthorized")
    assert refusal.headers == {"WWW-Authenticate": 'Bearer realm="persona_stream"'}


def test_an_invalid_token_is_described() -> None:
    """The sentence is in the body and in the header."""
    refusal = invalid_token("The token expired at noon")
    assert refusal.message == "The token expired at noon"
    assert refusal.headers == {
        "WWW-Authenticate": 'Bearer realm="persona_stream", error="invalid_token", '
        'error_description="The token expired at noon"'
    }


@given(st.text())
def test_no_sentence_breaks_out_of_the_header(sentence: str) -> None:
    """Quotes, line ends and letters beyond ASCII are replaced: the header has three attributes, whatever is said."""
    header = invalid_token(sentence).headers["WWW-Authenticate"]
    assert re.fullmatch(
        r'Bearer realm="persona_stream", error="invalid_token", error_description="[ !#-\[\]-~]*"', header, re.ASCII
    )


CLAIMS_GOOD: dict[str, Any] = {"sub": "ann", "exp": NOW + 60}


def claims_refusal(claims: dict[str, Any], rules: ClaimRules) -> str:
    with pytest.raises(Unauthorized) as caught:
        validate_claims(claims, rules, NOW)
    return caught.value.message


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
def test_good_claims_give_the_caller(claims: dict[str, Any], principal: Principal) -> None:
    """With the scopes that they say; ``chat`` is implied where they say nothing."""
    assert validate_claims(CLAIMS_GOOD | claims, ClaimRules(), NOW)[0] == principal


NOT_A_MOMENT = "The token's {} claim is not a moment: it must be a number of seconds since 1970"


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": None}, "The token has no exp claim: it must say when it expires"),
        ({"exp": NOW}, "The token expired at 2027-01-15T08:00:00Z"),
        ({"exp": 0}, "The token expired at 1970-01-01T00:00:00Z"),
        ({"exp": -1}, "The token expired at 1969-12-31T23:59:59Z"),
        ({"exp": -253_402_300_799}, "The token expired at a moment long ago"),
        ({"exp": str(NOW + 60)}, NOT_A_MOMENT.format("exp")),
        ({"exp": float("nan")}, NOT_A_MOMENT.format("exp")),
        ({"exp": float("inf")}, NOT_A_MOMENT.format("exp")),
        ({"exp": 1e300}, NOT_A_MOMENT.format("exp")),
        ({"exp": 10**400}, NOT_A_MOMENT.format("exp")),
        ({"exp": (NOW + 60) * 1000}, NOT_A_MOMENT.format("exp")),
        ({"exp": True}, NOT_A_MOMENT.format("exp")),
        ({"exp": [NOW + 60]}, NOT_A_MOMENT.format("exp")),
        ({"nbf": NOW + 1}, "The token is not valid before 2027-01-15T08:00:01Z (nbf)"),
        ({"nbf": "0"}, NOT_A_MOMENT.format("nbf")),
        ({"nbf": float("nan")}, NOT_A_MOMENT.format("nbf")),
        ({"nbf": 10**400}, NOT_A_MOMENT.format("nbf")),
        ({"sub": None}, "The token has no sub claim: it must say who calls"),
        *(
            ({"sub": wrong}, "The token's sub claim is not the name of a caller: it must be a string, and not blank")
            for wrong in (
                5,
                "",
                "  ",
                "\u3000",
                ["ann"],
                {"a": 1},
                True,
                "ann\r\nX: y",
                "ann\x00",
                "\ud800",
                "\x1b[31m",
            )
        ),
        ({"scope": ["chat"]}, "The token's scope claim is not a string of scopes with spaces between"),
        ({"scope": 5}, "The token's scope claim is not a string of scopes with spaces between"),
        (
            {"aud": "elsewhere"},
            "The token is for an audience (aud), and this server has no name of its own: set jwt_audience",
        ),
    ],
)
def test_claims_that_do_not_hold_are_refused(claims: dict[str, Any], sentence: str) -> None:
    """The sentence says which claim, and what it must be."""
    assert claims_refusal(CLAIMS_GOOD | claims, ClaimRules()) == sentence


@pytest.mark.parametrize("claim", ["us", ["them", "us"], ["also-us"]])
def test_a_token_for_this_server_comes_in(claim: object) -> None:
    """One of the audiences that it names is one of ours."""
    assert (
        validate_claims(CLAIMS_GOOD | {"aud": claim}, ClaimRules(audience=("us", "also-us")), NOW)[0].subject == "ann"
    )


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({}, "The token has no aud claim: it must be for us or also-us"),
        ({"aud": ""}, "The token is for another audience: its aud claim must name us or also-us"),
        ({"aud": []}, "The token has no aud claim: it must be for us or also-us"),
        ({"aud": "them"}, "The token is for another audience: its aud claim must name us or also-us"),
        ({"aud": "u"}, "The token is for another audience: its aud claim must name us or also-us"),
        ({"aud": ["US"]}, "The token is for another audience: its aud claim must name us or also-us"),
        ({"aud": {"us": 1}}, "The token's aud claim is neither a string nor a list of strings"),
        ({"aud": ["us", 5]}, "The token's aud claim is neither a string nor a list of strings"),
        ({"aud": 5}, "The token's aud claim is neither a string nor a list of strings"),
    ],
)
def test_a_token_for_somebody_else_does_not(claims: dict[str, Any], sentence: str) -> None:
    """An audience is compared whole, and letter by letter."""
    assert claims_refusal(CLAIMS_GOOD | claims, ClaimRules(audience=("us", "also-us"))) == sentence


def test_the_issuer_must_be_the_one() -> None:
    """Where one is configured; a missing, another or a strange one is refused."""
    rules = ClaimRules(issuer="https://id.example")
    assert validate_claims(CLAIMS_GOOD | {"iss": "https://id.example"}, rules, NOW)[0].subject == "ann"
    for claims in ({}, {"iss": "https://id.example/"}, {"iss": ["https://id.example"]}, {"iss": None}):
        sentence = "The token is from another issuer: its iss claim must be https://id.example"
        assert claims_refusal(CLAIMS_GOOD | claims, rules) == sentence


def test_leeway_forgives_clocks_that_differ() -> None:
    """As far as it goes and no further, at both ends."""
    rules = ClaimRules(leeway=10)
    assert validate_claims({"sub": "ann", "exp": NOW - 9, "nbf": NOW + 10}, rules, NOW) == (Principal("ann"), NOW + 1)
    assert claims_refusal({"sub": "ann", "exp": NOW - 10}, rules) == "The token expired at 2027-01-15T07:59:50Z"
    assert claims_refusal(CLAIMS_GOOD | {"nbf": NOW + 11}, rules).startswith("The token is not valid before")


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values = plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2), plain, max_size=1)


@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "aud", "iss", "scope", "iat"]), json_values))
def test_whatever_claims_say_they_hold_or_are_refused(claims: dict[str, Any]) -> None:
    """Nothing else happens, and who comes in has a name and an end in the future."""
    for rules in (ClaimRules(), ClaimRules(("us",), "me", 5)):
        try:
            principal, ends = validate_claims(claims, rules, NOW)
        except Unauthorized:
            continue
        assert is_valid_subject(principal.subject)
        assert ends > NOW


CLOCK = FakeClock(NOW)


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def test_a_token_says_who_and_until_when() -> None:
    """And what it allows, where that is more or less than ``chat``."""
    assert claims(issue_token(SECRET, "ann", 60, clock=CLOCK)) == {"sub": "ann", "exp": NOW + 60}
    assert claims(issue_token(SECRET, "安", 0.5, "chat admin", clock=CLOCK)) == {
        "sub": "安",
        "exp": NOW + 1,
        "scope": "chat admin",
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"jwt_audience": ("us", "also-us"), "jwt_issuer": "https://id.example"},
        {"jwt_algorithms": ("HS512", "HS384")},
    ],
)
def test_a_token_that_we_make_comes_in(values: dict[str, Any]) -> None:
    """Under the settings that it was made for, until it expires."""
    settings, secret, clock = Settings(**values), "x" * 64, FakeClock(NOW)
    check = create_verifier(settings, secret, clock).verify
    token = issue_token(secret, "ann", 60, "admin", settings, clock)
    assert check(token) == Principal("ann", frozenset({"admin"}))
    clock.now = NOW + 60
    with pytest.raises(Unauthorized, match="expired"):
        check(token)


@pytest.mark.parametrize("name", ["jwt_public_key", "jwks_url"])
def test_without_the_private_key_none_can_be_made(name: str) -> None:
    """A public key checks tokens, and makes none."""
    settings = Settings(jwt_public_key=Path("k")) if name == "jwt_public_key" else Settings(jwks_url="http://k")
    with pytest.raises(
        ConfigurationError, match=f"^Tokens are checked with {name} here, and only who holds its private key"
    ):
        issue_token(SECRET, "ann", 60, settings=settings)


def test_a_short_secret_makes_none() -> None:
    """It would make tokens that no server of ours takes."""
    with pytest.raises(ConfigurationError, match="jwt_secret has 5 bytes"):
        issue_token("short", "ann", 60)


@pytest.mark.parametrize("subject", ["", " ", "a\nb", "\ud800"])
def test_nobody_is_called_this(subject: str) -> None:
    """A name that the verifier would refuse is refused here already."""
    with pytest.raises(ValueError, match="not blank"):
        issue_token(SECRET, subject, 60)
