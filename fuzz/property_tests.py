"""Property tests of the parsers with many more examples than in the tests, in rounds with different seeds."""

from __future__ import annotations

import os
import re
import subprocess
import time

from fuzz.report import Findings
from tests.server_process import ROOT

# Tests of the parsers of untrusted input.
PARSERS = (
    "tests/core/test_cursor.py",
    "tests/core/test_sse.py",
    "tests/chunking",
    "tests/backends/openai",
    "tests/backends/anthropic",
    "tests/backends/providers/test_transport.py",
    "tests/backends/providers/test_stream.py",
    "tests/instrumentation/test_tracing.py",
    "tests/settings",
    "tests/auth",
    "tests/client/test_models.py",
    "tests/client/test_texts.py",
)
# Examples for each property in a round.
_FIRST_EXAMPLES = 20
_MAX_EXAMPLES = 5_000
_MIN_EXAMPLES = 10
_STATISTICS = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def fuzz(seconds: float, seed: int, findings: Findings) -> int:
    """Run rounds for so many seconds and return the number of examples."""
    begun = time.monotonic()
    tried = 0
    examples = _FIRST_EXAMPLES
    number = 0
    while examples >= _MIN_EXAMPLES:
        round_begun = time.monotonic()
        tried += _round(examples, seed + number, findings)
        took = time.monotonic() - round_begun
        left = seconds - (time.monotonic() - begun)
        number += 1
        # As many as fit into the remaining time, with a margin of a fifth.
        examples = min(_MAX_EXAMPLES, int(0.8 * examples * left / took))
    return tried


def _round(examples: int, seed: int, findings: Findings) -> int:
    command = [
        ".venv/bin/python", "-m", "pytest", "-q", "-n", "2", "-m", "hypothesis", "--no-header", "-o", "timeout=0",
        f"--hypothesis-seed={seed}", "--hypothesis-show-statistics", *PARSERS,
    ]  # fmt: skip
    environ = {"HYPOTHESIS_PROFILE": "long", "HYPOTHESIS_EXAMPLES": str(examples)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    tried = sum(int(passing) + int(failing) for passing, failing in _STATISTICS.findall(done.stdout))
    if done.returncode != 0 or not tried:
        variables = " ".join(f"{name}={value}" for name, value in environ.items())
        output = re.sub(r"(?s)=+ Hypothesis Statistics =.*?(?==+ short test summary)", "", done.stdout)
        findings.add("the property tests", f"{output}{done.stderr}", f"{variables} {' '.join(command)}")
    print(f"  tests  {tried:9,} examples, up to {examples} for each property, seed {seed}", flush=True)
    return tried
