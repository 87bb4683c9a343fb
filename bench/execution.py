"""Cost of the worker process in which functions run by default, beside a greenlet, and its isolation.

Five measurements. The server and its worker share one core, the client has the other. CPU is that of the server process
alone, because the backend's share is the same wherever it runs. Other load on the machine only adds to a figure, so the
best of several rounds is reported.
"""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import msgspec

from bench import procfs
from bench.chats import ChatResult
from bench.listener import TokenLatencies
from bench.metrics import Verdict, rounds_text
from bench.provider import RATE, TOKENS
from bench.report import Section, verdict
from bench.results import LoadResult
from bench.servers import OURS, ROOT, ConfigurationError, Server, free_port, started
from bench.workload import PATH, SECRET, Scenario, tokens, waiting

QUERY_RATE: Final = 300.0  # per second
QUERY_TIME: Final = 4.0  # seconds
STREAMS: Final = 50  # of tokens
WAITING: Final = waiting(1000, seconds=10.0, rate=250.0)
BESIDE: Final = waiting(200, seconds=12.0, rate=100.0)
LOCKED_TIME: Final = 8.0  # seconds in C with the interpreter lock held
QUERY_GOAL: Final = 150.0  # µs
TOKEN_GOAL: Final = 15.0  # µs
WORKER_GOAL: Final = 60.0  # MiB
JITTER_GOAL: Final = 50.0  # ms
IDLE_GOAL: Final = 90.0  # MB
START_GOAL: Final = 2.0  # seconds
SETTLE_TIME: Final = 2.0  # seconds, before the memory of an idle server is read
TIMEOUT: Final = 60.0  # seconds
BASE_PYTHON: Final = ROOT / ".venv-base/bin/python"
"""Interpreter of an environment with the base installation, which ``scripts/bench.sh`` creates."""


class Row(NamedTuple):
    """One figure of the report.

    Attributes:
        name: what is measured.
        unit: its unit.
        goal: the maximum; ``None`` for a figure to compare with.
        values: one figure of each round; the least disturbed one is the smallest.
        judge: computes the figure for the goal: the smallest value, or the median of differences, which scatter.
    """

    name: str
    unit: str
    goal: float | None
    values: Sequence[float]
    judge: Callable[[Sequence[float]], float] = min

    @property
    def best(self) -> float:
        """Figure that is compared with the goal."""
        return self.judge(self.values)

    def verdict(self) -> Verdict | None:
        """Return the verdict on the goal, if there is one."""
        if self.goal is None:
            return None
        return Verdict(
            self.best <= self.goal, f"{self.name} at most {self.goal:g} {self.unit}: {self._shown(self.best)}"
        )

    def _shown(self, value: float) -> str:
        return f"{value:.{2 if self.best < 10 else 0}f} {self.unit}"

    def text(self) -> str:
        """Return the row of the table."""
        goal = "–" if self.goal is None else f"≤ {self.goal:g} {self.unit}"
        reached = "" if self.goal is None else verdict(self.best <= self.goal)
        return f"| {self.name} | {goal} | {self._shown(self.best)} | {self._shown(max(self.values))} | {reached} |"


def _server(executor: str, *flags: str, backend: str = "bench.backend:answer") -> Server:
    command = (*OURS.command, "--executor", executor, "--backend", backend, *flags)
    return OURS._replace(name=executor, title=f"executor {executor}", command=command)


def _load(core: int, port: int, scenario: Scenario) -> LoadResult:
    found = _client(core, "bench.client", str(port), msgspec.json.encode(scenario).decode())
    return msgspec.json.decode(found, type=LoadResult)


def _client(core: int, module: str, *arguments: str) -> bytes:
    command = ["taskset", "-c", str(core), sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return done.stdout.splitlines()[-1]


def _chats(core: int, port: int, seconds: float) -> ChatResult:
    found = _client(core, "bench.chats", str(port), str(QUERY_RATE), str(seconds))
    return msgspec.json.decode(found, type=ChatResult)


def _worker(server: int) -> int:
    """Return the process id of the only worker of a server."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    if len(children) != 1:
        raise ConfigurationError(f"{len(children)} processes instead of one worker")
    return int(children[0])


def measure_queries(rounds: int) -> list[Row]:
    """Measure the CPU of the server per query in a greenlet and in a worker: both serve, one after the other."""
    client_core, server_core = procfs.cores()
    costs: dict[str, list[float]] = {"greenlet": [], "auto": []}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(started(_server(name), server_core)) for name in costs}
        for server in servers.values():
            _chats(client_core, server.port, 1.0)
        for number in range(2 * rounds):
            for name in costs if number % 2 else reversed(costs):
                before = procfs.own_cpu_seconds(servers[name].pid)
                found = _chats(client_core, servers[name].port, QUERY_TIME)
                cpu = procfs.own_cpu_seconds(servers[name].pid) - before
                if found.refused or not found.answered:
                    raise ConfigurationError(f"{found.refused} queries were refused")
                costs[name].append(1e6 * cpu / found.answered)
    more = [worker - greenlet for worker, greenlet in zip(costs["auto"], costs["greenlet"], strict=True)]
    return [
        Row("server CPU per query, in a greenlet", "µs", None, costs["greenlet"]),
        Row("more in the worker, median of pairs", "µs", QUERY_GOAL, more, judge=median),
    ]


def measure_tokens(rounds: int) -> list[Row]:
    """Measure the CPU of the server per token that a function sends."""
    client_core, server_core = procfs.cores()
    costs: dict[str, list[float]] = {"auto": [], "greenlet": []}
    lost = 0
    for executor in costs:
        with started(_server(executor, backend="bench.backend:send_tokens"), server_core) as running:
            for number in range(rounds + 1):
                streams = STREAMS if number else 2  # the first one is a warm-up
                before = procfs.own_cpu_seconds(running.pid)
                found = _client(client_core, "bench.listener", str(running.port), str(streams))
                cpu = procfs.own_cpu_seconds(running.pid) - before
                lost += msgspec.json.decode(found, type=TokenLatencies).lost
                if number:
                    costs[executor].append(1e6 * cpu / (STREAMS * TOKENS))
    if lost:
        raise ConfigurationError(f"{lost} streams of tokens were incomplete")
    return [
        Row(f"server CPU per token from the worker, {STREAMS} × {RATE:g} per second", "µs", TOKEN_GOAL, costs["auto"]),
        Row("server CPU per token from a greenlet", "µs", None, costs["greenlet"]),
    ]


def measure_waiting(rounds: int) -> list[Row]:
    """Measure the memory of a worker whose threads all wait."""
    client_core, server_core = procfs.cores()
    limits = ("--threads", str(WAITING.streams), "--max-runs-per-user", str(WAITING.streams))
    found: list[float] = []
    idle: list[float] = []
    for _ in range(rounds):
        with started(_server("auto", *limits), server_core) as running:
            worker = _worker(running.pid)
            idle.append(procfs.proportional_bytes(worker) / 2**20)
            command = ["taskset", "-c", str(client_core), sys.executable, "-m", "bench.client", str(running.port)]
            command.append(msgspec.json.encode(WAITING).decode())
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
                assert client.stdout is not None
                lines = iter(client.stdout.readline, "")
                if next(lines).strip() == "plateau":
                    found.append(procfs.proportional_bytes(worker) / 2**20)
                result = msgspec.json.decode(list(lines)[-1], type=LoadResult)
            if result.lost or result.waiting < WAITING.streams:
                raise ConfigurationError(f"{result.waiting} waited, {result.lost} were lost: {result.errors}")
    return [
        Row("memory of a worker with 1,000 waiting queries (all were answered)", "MiB", WORKER_GOAL, found),
        Row("memory of an idle worker", "MiB", None, idle),
    ]


def measure_isolation(rounds: int) -> list[Row]:
    """Measure the progress of other streams beside a query that holds the interpreter lock of the worker."""
    client_core, server_core = procfs.cores()
    found: list[float] = []
    for _ in range(rounds):
        with started(_server("auto", "--threads", "300", backend="bench.backend:either"), server_core) as running:
            locking = threading.Timer(BESIDE.arriving, _ask, (running.port, f"lock {LOCKED_TIME:g}"))
            locking.start()
            result = _load(client_core, running.port, BESIDE)
            locking.join()
            if result.lost:
                raise ConfigurationError(f"{result.lost} streams were lost: {result.errors}")
            found.append(1000 * result.jitter.p99)
    name = f"progress jitter p99 of {BESIDE.streams} streams beside a query in C that holds the interpreter lock"
    return [Row(name, "ms", JITTER_GOAL, found)]


def measure_start(rounds: int) -> list[Row]:
    """Measure the start and the idle memory of a base installation with its default settings."""
    python = BASE_PYTHON if BASE_PYTHON.exists() else Path(sys.executable)
    memory: list[float] = []
    seconds: list[float] = []
    for _ in range(rounds + 1):
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            (Path(folder) / "bot.py").write_text("def ask(message):\n    return message\n")
            command = [str(python), "-m", "persona_stream", "serve", "--port", str(port), "--state-dir", folder]
            command += ["--jwt-secret", SECRET, "--log-level", "warning", "--backend", "bot:ask"]
            began = time.monotonic()
            with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
                try:
                    while not _answers(port):
                        if process.poll() is not None or time.monotonic() - began > TIMEOUT:
                            raise ConfigurationError("the base installation did not start")
                        time.sleep(0.01)
                    seconds.append(time.monotonic() - began)
                    time.sleep(SETTLE_TIME)
                    processes = [process.pid, _worker(process.pid)]
                    memory.append(sum(map(procfs.proportional_bytes, processes)) / 1e6)
                finally:
                    process.send_signal(signal.SIGTERM)
    return [
        Row("idle memory of server and worker, base installation", "MB", IDLE_GOAL, memory),
        Row("time from the start to the first answer, base installation", "s", START_GOAL, seconds),
    ]


def _answers(port: int) -> bool:
    """Return whether the server answers a query."""
    with suppress(OSError, http.client.HTTPException):
        return b"Hi" in _ask(port, "Hi", "/api/chat")
    return False


def _ask(port: int, message: str, path: str = PATH) -> bytes:
    """Send a query, and return the body of the response."""
    body = msgspec.json.encode({"username": "bench", "message": message})
    headers = {"Authorization": f"Bearer {tokens()[0]}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        connection.request("POST", path, body, headers)
        return connection.getresponse().read()


_MEASUREMENTS: Final[Sequence[Callable[[int], list[Row]]]] = (
    *(measure_queries, measure_tokens, measure_waiting, measure_isolation, measure_start),
)


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    rows: list[Row] = []
    for measure in _MEASUREMENTS:
        for row in measure(rounds):
            print(row.text(), flush=True)
            rows.append(row)
    return Section(
        "Worker process",
        "By default a function runs in a worker process, unpatched. Server and worker share one core, the client has "
        "the other. CPU is that of the server process alone; memory is the proportional set size. Other load on the "
        f"machine only adds to a figure: the goals are judged by the best of {rounds_text(rounds)}, and the worst one "
        "stands beside it.",
        "",
        "| | goal | best round | worst round | |",
        "|---|---:|---:|---:|---|",
        *(row.text() for row in rows),
        tabled=[found for row in rows if (found := row.verdict())],
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
