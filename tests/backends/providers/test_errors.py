"""What the log is told of a provider's refusals."""

from __future__ import annotations

import pytest

from persona_stream.backends.providers.errors import mask, quote

KEY = "sk-abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("place", range(450, 520))
def test_no_key_is_told_wherever_a_quotation_is_cut(place: int):
    """But for the first letters, which only say what it is."""
    told = mask(quote(b"x" * place + KEY.encode() + b" is no key of ours"), KEY)
    assert KEY[:8] not in told


def test_a_provider_without_a_key_is_quoted_as_it_is():
    """There is nothing to be kept from anybody."""
    assert mask("as it is", "") == "as it is"
