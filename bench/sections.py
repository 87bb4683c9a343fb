"""Time the parts of our server in a process of their own, on the server's core."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench import procfs
from bench.servers import ROOT


class Part(msgspec.Struct, frozen=True):
    """Tell what one thing takes."""

    name: str
    microseconds: float


class PartsError(Exception):
    """Say why the parts could not be timed."""


def measure() -> list[Part]:
    """Time the parts.

    Raises:
        PartsError: ``bench.micro`` failed; with the last line of what it said.
    """
    _, core = procfs.cores()
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.micro"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise PartsError(done.stderr.strip().rpartition("\n")[2])
    return msgspec.json.decode(done.stdout, type=list[Part])
