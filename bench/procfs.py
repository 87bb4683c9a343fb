"""Resource usage of processes and properties of the machine, read from procfs."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and its children, including ended ones."""
    total = 0
    for member in _family(pid):
        # The name in parentheses may contain spaces; utime is the 14th field, followed by three more times.
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:13] if member != pid else fields[11:15]))
    return total / _TICK


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICK


def proportional_bytes(pid: int) -> int:
    """Return the memory of one process, with its share of the pages that several processes map."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    total = 0
    for member in _family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def busy_seconds() -> float:
    """Return the busy seconds of all cores since the machine started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICK


def raise_open_files() -> None:
    """Raise the limit on open files to the hard limit, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores() -> tuple[int, int]:
    """Return the core of the client and the core of the server.

    Raises:
        SystemExit: fewer than two cores are available.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("bench: needs two cores, one for the server and one for the client")
    return allowed[0], allowed[1]


def machine() -> str:
    """Return a description of the machine: processor, cores, memory, kernel."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def versions(python: str, packages: tuple[str, ...]) -> str:
    """Return the versions of an environment's interpreter and of some of its packages."""
    program = (
        "import platform, sys; from importlib.metadata import version\n"
        "print('CPython', platform.python_version(), *(f'· {name} {version(name)}' for name in sys.argv[1:]))"
    )
    done = subprocess.run([python, "-c", program, *packages], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def node_version() -> str:
    """Return the version of Node.js."""
    done = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True)
    return f"Node.js {done.stdout.strip().removeprefix('v')}"


def go_version(program: str) -> str:
    """Return the version of Go with which a peer was built."""
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return f"Go {done.stdout.strip().removeprefix('go')}"
