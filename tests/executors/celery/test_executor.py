"""Execution by Celery workers; the suite runs in a separate process that is patched by gevent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_server import needs_redis

SUITE = Path(__file__).with_name("celery_suite.py")
ROOT = SUITE.parents[3]


@needs_redis
@pytest.mark.timeout(180)
def test_the_contract_of_executors():
    """Over both pools, with the traps of Celery."""
    done = subprocess.run(
        [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", SUITE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
