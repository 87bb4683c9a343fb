"""The short form of ``make soak``: the same clients for some seconds, at a rate that a busy machine bears."""

from __future__ import annotations

from tests.faults import soak


def test_a_mixed_crowd_loses_nothing_and_leaves_nothing():
    """Whatever clients do, every run is accounted for on all sides, and the process holds what it held before."""
    plan = soak.Plan(seconds=12, warm_up=6, rate=6, retention=3, deadline=6)
    assert soak.run(plan, seed=20261120) == 0
