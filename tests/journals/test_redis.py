"""Journals in Redis; the suite runs in a separate process that is patched by gevent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_server import needs_redis

_SUITE = Path(__file__).with_name("redis_suite.py")
_ROOT = _SUITE.parents[2]


@pytest.mark.alone  # keys expire in real time, also when the test is not scheduled
@needs_redis
def test_journals_in_redis() -> None:
    """The contract suite, and the tests that are specific to Redis."""
    done = subprocess.run(
        [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", _SUITE],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
