"""What claims must say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.jwt import Rules, check, is_subject
from persona_stream.core.query import Principal
from persona_stream.errors import Unauthorized
from tests.tokens.crafting import NOW

GOOD: dict[str, Any] = {"sub": "ann", "exp": NOW + 60}


def refusal(claims: dict[str, Any], rules: Rules) -> str:
    with pytest.raises(Unauthorized) as caught:
        check(claims, rules, NOW)
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
    assert check(GOOD | claims, Rules(), NOW)[0] == principal


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
    assert refusal(GOOD | claims, Rules()) == sentence


@pytest.mark.parametrize("claim", ["us", ["them", "us"], ["also-us"]])
def test_a_token_for_this_server_comes_in(claim: object) -> None:
    """One of the audiences that it names is one of ours."""
    assert check(GOOD | {"aud": claim}, Rules(audience=("us", "also-us")), NOW)[0].subject == "ann"


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
    assert refusal(GOOD | claims, Rules(audience=("us", "also-us"))) == sentence


def test_the_issuer_must_be_the_one() -> None:
    """Where one is configured; a missing, another or a strange one is refused."""
    rules = Rules(issuer="https://id.example")
    assert check(GOOD | {"iss": "https://id.example"}, rules, NOW)[0].subject == "ann"
    for claims in ({}, {"iss": "https://id.example/"}, {"iss": ["https://id.example"]}, {"iss": None}):
        sentence = "The token is from another issuer: its iss claim must be https://id.example"
        assert refusal(GOOD | claims, rules) == sentence


def test_leeway_forgives_clocks_that_differ() -> None:
    """As far as it goes and no further, at both ends."""
    rules = Rules(leeway=10)
    assert check({"sub": "ann", "exp": NOW - 9, "nbf": NOW + 10}, rules, NOW) == (Principal("ann"), NOW + 1)
    assert refusal({"sub": "ann", "exp": NOW - 10}, rules) == "The token expired at 2027-01-15T07:59:50Z"
    assert refusal(GOOD | {"nbf": NOW + 11}, rules).startswith("The token is not valid before")


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values = plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2), plain, max_size=1)


@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "aud", "iss", "scope", "iat"]), json_values))
def test_whatever_claims_say_they_hold_or_are_refused(claims: dict[str, Any]) -> None:
    """Nothing else happens, and who comes in has a name and an end in the future."""
    for rules in (Rules(), Rules(("us",), "me", 5)):
        try:
            principal, ends = check(claims, rules, NOW)
        except Unauthorized:
            continue
        assert is_subject(principal.subject)
        assert ends > NOW
