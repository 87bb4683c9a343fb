"""Errors of refused credentials, and access without authentication."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.base import OpenVerifier, invalid_token, missing_token
from persona_stream.core.query import Principal


def test_without_authentication_every_caller_is_the_local_user() -> None:
    """With or without a token, and for ever."""
    verifier = OpenVerifier()
    assert verifier.verify("") == verifier.verify("x.y.z") == Principal("local", frozenset({"chat", "admin"}))
    assert verifier.expiry("") is None


def test_the_challenge_for_a_missing_token_has_no_error_attribute() -> None:
    """Source: RFC 6750 §3.1."""
    refusal = missing_token()
    assert (refusal.status, refusal.code) == (401, "unauthorized")
    assert refusal.headers == {"WWW-Authenticate": 'Bearer realm="persona_stream"'}


def test_the_challenge_for_an_invalid_token_has_the_reason() -> None:
    """The body has it too."""
    refusal = invalid_token("The token expired at noon")
    assert refusal.message == "The token expired at noon"
    assert refusal.headers == {
        "WWW-Authenticate": 'Bearer realm="persona_stream", error="invalid_token", '
        'error_description="The token expired at noon"'
    }


@given(st.text())
def test_no_message_breaks_out_of_the_header(sentence: str) -> None:
    """Quotes, line ends and characters beyond ASCII are replaced, so that the header keeps its three attributes."""
    header = invalid_token(sentence).headers["WWW-Authenticate"]
    assert re.fullmatch(
        r'Bearer realm="persona_stream", error="invalid_token", error_description="[ !#-\[\]-~]*"', header, re.ASCII
    )
