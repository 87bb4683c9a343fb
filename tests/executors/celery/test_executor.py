"""Execution by Celery workers; the suite runs in a separate process that is patched by gevent."""

from __future__ import annotations

import pytest

from tests.patched_process import run_suites
from tests.redis_server import needs_redis


@needs_redis
@pytest.mark.timeout(180)
def test_the_contract_of_executors():
    """Over both pools, with the traps of Celery."""
    run_suites(__file__, "celery_suite.py", seconds=170)
