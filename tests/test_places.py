"""Bounds on what is under way at once."""

from __future__ import annotations

import pytest

from persona_stream.errors import Busy
from persona_stream.places import Places


def test_places_run_out_and_come_back():
    """For all, and for one owner; and whoever is refused took none."""
    places = Places(most=3, most_per_owner=2)
    places.take("alice")
    places.take("alice")
    with pytest.raises(Busy, match="as many runs"):
        places.take("alice")
    places.take("bob")
    with pytest.raises(Busy, match="Every place"):
        places.take("carol")
    assert places.taken == 3
    places.free("alice")
    places.take("carol")
    assert places.taken == 3
    for owner in ("alice", "bob", "carol"):
        places.free(owner)
    assert places.taken == 0
