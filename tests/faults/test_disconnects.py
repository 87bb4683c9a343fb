"""Short version of the second part of ``make chaos``."""

from __future__ import annotations

from tests.faults import disconnects


def test_disconnecting_clients_leak_no_resources():
    """Independently of the data that they sent, and without a line in the log."""
    assert disconnects.run(2_000, seed=20261120) == 0
