"""Short version of ``make chaos``, with a fixed seed."""

from __future__ import annotations

from tests.faults import chaos
from tests.redis_server import needs_redis


@needs_redis
def test_random_faults_lose_and_repeat_no_text_and_leave_no_runs():
    """Servers are killed, drained and suspended, Redis hangs, clients disconnect and resume."""
    assert chaos.run(12, seed=20261120) == 0
