"""Memory of requests and runs: it is freed at their end."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.server_process import ROOT


def test_requests_leave_no_reference_cycles() -> None:
    """The server collects garbage rarely, since that pauses all streams; until then, cycles keep whole requests."""
    command = [sys.executable, "-m", "tests.http.uncollected_objects"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    left = json.loads(done.stdout)
    assert left == {kind: {} for kind in left}
    assert "answered" in left
