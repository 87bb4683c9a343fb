"""The short form of ``make chaos``: the same faults for a few seconds, always from the same seed."""

from __future__ import annotations

from tests.faults import chaos
from tests.redis_server import needs_redis


@needs_redis
def test_random_faults_lose_nothing_double_nothing_and_leave_nothing():
    """Servers die, drain and sleep, Redis hangs, readers come and go."""
    assert chaos.run(12, seed=20261120) == 0
