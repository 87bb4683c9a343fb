"""The dashboard benchmark with a small log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server_process import ROOT


def test_the_benchmark_creates_its_log_and_measures_each_page(tmp_path: Path) -> None:
    """A second run reuses the log."""
    command = [sys.executable, "-m", "bench.dashboard", "--runs", "300", "--file", str(tmp_path / "log.sqlite")]
    first, second = (subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(2))
    assert first.stderr == "Writing 300 runs ...\n"
    assert second.stderr == ""
    for done in (first, second):
        assert done.stdout.startswith("300 runs, ")
        assert done.stdout.count(" ms   median ") == 17
