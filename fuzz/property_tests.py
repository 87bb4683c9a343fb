"""Try the laws of the parsers with many more examples than the tests do: round after round, each from another seed."""

from __future__ import annotations

import os
import re
import subprocess
import time

from fuzz.report import Findings
from tests.server_process import ROOT

# What reads what strangers write. Their laws are tests like others, and stand there.
PARSERS = (
    "tests/core/test_cursor.py",
    "tests/core/test_sse.py",
    "tests/chunking",
    "tests/backends/openai",
    "tests/backends/anthropic",
    "tests/backends/providers/test_transport.py",
    "tests/backends/providers/test_stream.py",
    "tests/instrumentation/test_factory.py",
    "tests/instrumentation/test_tracing.py",
    "tests/settings",
    "tests/auth",
    "tests/client/test_models.py",
    "tests/client/test_terminal.py",
)
_FIRST, _MOST, _FEWEST = 20, 5_000, 10  # examples for each law in a round
_TRIED = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def fuzz(seconds: float, seed: int, findings: Findings) -> int:
    """Try for so long, and give how many examples there were."""
    begun, tried, examples, number = time.monotonic(), 0, _FIRST, 0
    while examples >= _FEWEST:
        round_begun = time.monotonic()
        tried += _round(examples, seed + number, findings)
        took, left = time.monotonic() - round_begun, seconds - (time.monotonic() - begun)
        number += 1
        # As many again as there is time for, with a fifth to spare.
        examples = min(_MOST, int(0.8 * examples * left / took))
    return tried


def _round(examples: int, seed: int, findings: Findings) -> int:
    command = [
        ".venv/bin/python", "-m", "pytest", "-q", "-n", "2", "-m", "hypothesis", "--no-header", "-o", "timeout=0",
        f"--hypothesis-seed={seed}", "--hypothesis-show-statistics", *PARSERS,
    ]  # fmt: skip
    environ = {"HYPOTHESIS_PROFILE": "long", "HYPOTHESIS_EXAMPLES": str(examples)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    tried = sum(int(passing) + int(failing) for passing, failing in _TRIED.findall(done.stdout))
    if done.returncode != 0 or not tried:
        given = " ".join(f"{name}={value}" for name, value in environ.items())
        told = re.sub(r"(?s)=+ Hypothesis Statistics =.*?(?==+ short test summary)", "", done.stdout)
        findings.add("the laws of the parsers", f"{told}{done.stderr}", f"{given} {' '.join(command)}")
    print(f"  laws   {tried:9,} examples, up to {examples} for each law, seed {seed}", flush=True)
    return tried
