"""Journals in Redis; the suite runs in a separate process that is patched by gevent."""

from __future__ import annotations

import pytest

from tests.patched_process import run_suites
from tests.redis_server import needs_redis


@pytest.mark.alone  # keys expire in real time, also when the test is not scheduled
@needs_redis
def test_journals_in_redis() -> None:
    """The contract suite, and the tests that are specific to Redis."""
    run_suites(__file__, "redis_suite.py", seconds=110)
