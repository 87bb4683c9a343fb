"""The short form of the second act of ``make chaos``."""

from __future__ import annotations

from tests.faults import vanishing


def test_clients_that_vanish_leave_nothing_behind():
    """Whatever they had said before; and none of them is worth a line in the log."""
    assert vanishing.run(2_000, seed=20261120) == 0
