"""Tests of the list of property tests that `make fuzz` runs."""

from __future__ import annotations

from fuzz.property_tests import PARSERS
from tests.server_process import ROOT


def test_every_listed_file_exists():
    """pytest would otherwise run none of them."""
    assert [path for path in PARSERS if not (ROOT / path).exists()] == []
