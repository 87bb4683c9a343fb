"""The header of a 401."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.jwt import invalid, missing


def test_a_missing_token_is_no_error() -> None:
    """RFC 6750 §3.1: without credentials the challenge has no error attribute."""
    refusal = missing()
    assert (refusal.status, refusal.code) == (401, "unauthorized")
    assert refusal.headers == {"WWW-Authenticate": 'Bearer realm="persona_stream"'}


def test_an_invalid_token_is_described() -> None:
    """The sentence is in the body and in the header."""
    refusal = invalid("The token expired at noon")
    assert refusal.message == "The token expired at noon"
    assert refusal.headers == {
        "WWW-Authenticate": 'Bearer realm="persona_stream", error="invalid_token", '
        'error_description="The token expired at noon"'
    }


@given(st.text())
def test_no_sentence_breaks_out_of_the_header(sentence: str) -> None:
    """Quotes, line ends and letters beyond ASCII are replaced: the header has three attributes, whatever is said."""
    header = invalid(sentence).headers["WWW-Authenticate"]
    assert re.fullmatch(
        r'Bearer realm="persona_stream", error="invalid_token", error_description="[ !#-\[\]-~]*"', header, re.ASCII
    )
