"""How late others are beside a query that spins the CPU in Python: ``python -m bench.comparison``.

Each executor serves one query that computes, and others that wait at the same time; how late the progress of those is
comes from the same client and the same tally as all else here.
"""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from bench.results import Tally
from bench.servers import OURS, ROOT, ConfigurationError, Server, started
from bench.workload import PATH, Scenario, tokens, waiting

_SPARE = 20.0  # seconds that the one which computes goes on after the others
_COUNTS = {"thread": 20, "process": 200}


def _server(executor: str, others: int) -> Server:
    flags = (
        "--executor",
        executor,
        "--threads",
        str(others + 2),
        "--max-runs-per-user",
        str(others + 2),
        "--timeout",
        "600",
        "--backend",
        "bench.backend:either",
    )
    return OURS._replace(name=executor, title=f"executor {executor}", command=(*OURS.command, *flags))


def _ask(port: int, message: str) -> None:
    """Ask one question, and read its answer to the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = msgspec.json.encode({"username": "bench", "message": message})
    headers = {"Authorization": f"Bearer {tokens()[0]}", "Content-Type": "application/json"}
    with closing(connection), suppress(OSError, http.client.HTTPException):  # the server stops before it is done
        connection.request("POST", PATH, body, headers)
        connection.getresponse().read()


def _gather(port: int, count: int) -> None:
    """Have as many processes at once as will be needed: how they start is not what is measured.

    They wait for each other, however long that takes, and so are idle from the same moment on. Had each a time of its
    own, the first ones would be let go on a busy machine before the last ones are there.

    Raises:
        ConfigurationError: they are not.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asking = [threading.Thread(target=_ask, args=(port, f"gather {count} {folder}")) for _ in range(count)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        if (came := sum(1 for _ in Path(folder).iterdir())) < count:
            raise ConfigurationError(f"{came} of {count} processes came")


def _load(port: int, scenario: Scenario) -> Tally:
    command = [sys.executable, "-m", "bench.client", str(port), msgspec.json.encode(scenario).decode()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Tally)


def measure(executor: str, others: int, seconds: float, *, beside: bool = True) -> Tally:
    """Measure with others that wait for so many seconds each, ``beside`` one that computes or alone."""
    scenario = waiting(others, seconds=seconds, rate=others / 2)
    with started(_server(executor, others), "0-1023") as server:
        if executor == "process":
            _gather(server.port, others + 1)
        computing = threading.Thread(
            target=_ask, args=(server.port, f"spin {scenario.arriving + seconds + _SPARE}"), daemon=True
        )
        if beside:
            computing.start()
        return _load(server.port, scenario)


def main() -> None:
    """Read the command line, measure, print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.comparison", description=__doc__)
    parser.add_argument("--only", choices=_COUNTS, action="append", help="this executor; may be given again")
    parser.add_argument("--others", type=int, help="streams that wait (20 for threads, 200 for processes)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each of them waits (20)")
    parser.add_argument("--alone", action="store_true", help="with nobody that computes")
    asked = parser.parse_args()
    for executor in asked.only or _COUNTS:
        others = asked.others or _COUNTS[executor]
        found = measure(executor, others, asked.seconds, beside=not asked.alone)
        p50, p99, most = (1000 * value for value in (found.jitter.p50, found.jitter.p99, found.jitter.most))
        print(
            f"{executor:8} {others} others: progress late by {p50:.1f} ms (p50), {p99:.1f} ms (p99), {most:.1f} ms at"
            f" the most; {found.lost} lost, {found.skipped} skipped",
            flush=True,
        )
        for why, count in found.wrong.items():
            print(f"    {count} x {why}")


if __name__ == "__main__":
    main()
