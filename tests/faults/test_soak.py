"""Short version of ``make soak``, at a low rate for busy machines."""

from __future__ import annotations

from tests.faults import soak


def test_mixed_load_loses_no_runs_and_leaks_no_resources():
    """Clients, metrics and request log count the same runs, and the resources of the process do not grow."""
    plan = soak.Plan(seconds=12, warm_up=6, rate=6, retention=3, deadline=6)
    assert soak.run(plan, seed=20261120) == 0
