"""Short version of ``make soak``, at a low rate for busy machines."""

from __future__ import annotations

from tests.faults import soak
from tests.faults.soak_report import MemorySample, memory_slope


def test_mixed_load_loses_no_runs_and_leaks_no_resources():
    """Clients, metrics and request log count the same runs, and the resources of the process do not grow."""
    plan = soak.Plan(seconds=12, warm_up=6, rate=6, retention=3, deadline=6)
    assert soak.run(plan, seed=20261120) == 0


def test_the_trend_of_memory_is_that_of_the_second_half():
    """Caches that fill in the first half are no leak."""
    filling = [MemorySample(60.0 * minute, 1_000 * min(minute, 60)) for minute in range(120)]
    assert memory_slope(filling) == 0
    leaking = [MemorySample(60.0 * minute, 1_000 * minute) for minute in range(120)]
    assert round(memory_slope(leaking)) == 1_000


def test_a_short_test_has_no_trend_of_memory():
    assert memory_slope([MemorySample(60.0 * minute, 0) for minute in range(30)]) is None
