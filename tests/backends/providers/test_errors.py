"""Tests of quoting and masking in log texts."""

from __future__ import annotations

from typing import get_args

import pytest

from persona_stream.backends import texts
from persona_stream.backends.providers.errors import ErrorKind, mask, quote

KEY = "sk-abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("place", range(450, 520))
def test_the_api_key_is_masked_wherever_a_quotation_is_cut(place: int):
    """Except for a short prefix, which only shows the provider."""
    masked = mask(quote(b"x" * place + KEY.encode() + b" is not the API key"), KEY)
    assert KEY[:8] not in masked


def test_without_a_key_nothing_is_masked():
    """The text stays as it is."""
    assert mask("as it is", "") == "as it is"


def test_each_kind_of_error_has_a_text_in_both_languages():
    """And a rejection that names a parameter has another one."""
    assert texts.PROVIDER_ERRORS.keys() == {*get_args(ErrorKind), "refused_parameter"}
    assert all(set(text) == {"en", "zh"} for text in texts.PROVIDER_ERRORS.values())
