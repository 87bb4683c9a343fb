"""Microbenchmarks, run in a separate process on the server's core."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench import procfs
from bench.servers import ROOT


class MicroBenchmark(msgspec.Struct, frozen=True):
    """Duration of one operation."""

    name: str
    microseconds: float


class MicroBenchmarkError(Exception):
    """Failure of the microbenchmarks."""


def measure() -> list[MicroBenchmark]:
    """Run the microbenchmarks.

    Raises:
        MicroBenchmarkError: ``bench.micro`` failed; the text is the last line of its output.
    """
    _, core = procfs.cores()
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.micro"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise MicroBenchmarkError(done.stderr.strip().rpartition("\n")[2])
    return msgspec.json.decode(done.stdout, type=list[MicroBenchmark])
