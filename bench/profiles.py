"""Sampling profiles of a server under load: ``perf`` for C code, ``py-spy`` for Python code."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.servers import PEERS_PYTHON

MAX_LINES: Final = 45


@contextmanager
def profiled(pid: int, profiler: str | None) -> Iterator[None]:
    """Sample a process during the block and print its most frequent locations."""
    if profiler is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        samples = Path(folder) / "samples"
        if profiler == "perf":
            command = ["perf", "record", "--quiet", "-F", "499", "-g", "-p", str(pid), "-o", str(samples)]
        else:
            spy = Path(PEERS_PYTHON).with_name("py-spy")
            command = [
                str(spy),
                "record",
                "--pid",
                str(pid),
                "--rate",
                "199",
                "--format",
                "raw",
                "--output",
                str(samples),
            ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sampler:
            try:
                yield
            finally:
                sampler.send_signal(signal.SIGINT)
        if profiler == "perf":
            _show_perf(samples)
        else:
            _show_py_spy(samples)


def _show_perf(samples: Path) -> None:
    command = ["perf", "report", "-i", str(samples), "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.4"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in report.splitlines() if line and not line.startswith("#")]
    print("\n".join(lines[:MAX_LINES]))


def _show_py_spy(samples: Path) -> None:
    """Print the functions by their own time, then by their cumulative time."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    total = own.total() or 1
    for title, counter in (("own time", own), ("with callees", whole)):
        print(f"  {title}")
        for frame, samples_of_it in counter.most_common(MAX_LINES):
            print(f"  {100 * samples_of_it / total:5.1f} %  {frame}")
