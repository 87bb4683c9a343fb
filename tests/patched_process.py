"""Test suites that need a process patched by gevent, as the server's is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent


def run_suites(test_module: str, *suites: str, seconds: float, **environ: str) -> None:
    """Run the tests of files beside a test module in a patched process; fail with its output if one of them fails."""
    files = [Path(test_module).with_name(suite) for suite in suites]
    done = subprocess.run(
        [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", *files],
        cwd=_ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
