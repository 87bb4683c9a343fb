"""The servers of the benchmarks, each started alone on its core."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench import procfs
from bench.workload import SECRET

ROOT: Final = Path(__file__).parent.parent
PEERS_PYTHON: Final = str(ROOT / ".venv-bench/bin/python")
GO_PEER: Final = str(ROOT / "build/bench/go_peer")
"""Program that ``scripts/bench.sh`` builds from ``bench/peers/go_peer.go``."""
_STOP_TIMEOUT: Final = 30.0  # seconds; pending database writes are flushed then
_START_TIMEOUT: Final = 30.0  # seconds


class ConfigurationError(Exception):
    """Failure to start a server."""


class Server(NamedTuple):
    """Definition of a server.

    Attributes:
        name: the key in results.
        title: the name in the report.
        command: the command line, with ``{port}`` and ``{state}`` for a port and a directory.
        packages: the packages whose versions the report lists.
    """

    name: str
    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def python(self) -> str:
        """Interpreter of the server."""
        return self.command[0]

    @property
    def is_installed(self) -> bool:
        """Whether its program or interpreter exists."""
        return shutil.which(self.command[0]) is not None


def _uvicorn(module: str) -> tuple[str, ...]:
    return (
        PEERS_PYTHON, "-m", "uvicorn", f"{module}:app", "--host", "127.0.0.1", "--port", "{port}",
        "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--backlog", "4096",
        "--no-access-log", "--log-level", "warning",
    )  # fmt: skip


OURS: Final = Server(
    "ours",
    "persona_stream",
    (
        sys.executable, "-m", "persona_stream", "serve", "--backend", "bench.backend:answer", "--host", "127.0.0.1",
        "--port", "{port}", "--state-dir", "{state}", "--jwt-secret", SECRET, "--log-level", "warning",
        "--database-url", "off",  # the peers have no request log either
        "--executor", "greenlet",  # bench.execution measures the worker process of the default
    ),
    ("persona_stream", "gevent", "flask", "msgspec"),
)  # fmt: skip
MANY_RUNS: Final = ("--max-runs", "19000", "--max-runs-per-user", "1000")
"""Options for more waiting streams than the server admits by default."""
OURS_LARGE: Final = OURS._replace(command=(*OURS.command, *MANY_RUNS))
FASTAPI: Final = Server(
    "fastapi",
    "FastAPI",
    _uvicorn("bench.peers.fastapi_peer"),
    ("fastapi", "pydantic", "uvicorn", "uvloop", "httptools"),
)
SSE_STARLETTE: Final = Server(
    "sse-starlette",
    "Starlette + sse-starlette",
    _uvicorn("bench.peers.sse_starlette_peer"),
    ("sse-starlette", "starlette", "uvicorn", "uvloop", "httptools"),
)
NODE: Final = Server("node", "Node.js http", ("node", "bench/peers/node_peer.mjs", "{port}", sys.executable), ())
GO: Final = Server("go", "Go net/http", (GO_PEER, "{port}", sys.executable), ())
WSGI: Final = Server(
    "wsgi",
    "persona_stream, gunicorn",
    (
        sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "1", "--worker-connections", "50000",
        "--backlog", "4096", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "bench.application:create()",
    ),
    ("gunicorn", "gevent"),
)  # fmt: skip
PACKAGES: Final = {"node": "nodejs", "go": "golang-go"}
"""Debian packages of peers that may be left out."""
ALL: Final = (OURS, NODE, GO, FASTAPI, SSE_STARLETTE, WSGI)


class Running(NamedTuple):
    """Running server."""

    pid: int
    port: int


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def started(server: Server, core: int | str) -> Iterator[Running]:
    """Run a server on a core, or a range like ``0-3``, during the block.

    Raises:
        ConfigurationError: the server did not start; the text contains the last line of its output.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as state, (Path(state) / "log").open("w+") as log:
        command = [part.format(port=port, state=state) for part in server.command]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERSONA_STREAM_")}
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until = time.monotonic() + _START_TIMEOUT
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    output = log.read().strip().rpartition("\n")[2] or "no output"
                    raise ConfigurationError(f"{server.title} did not start: {output}")
                time.sleep(0.1)
            yield Running(process.pid, port)
            log.seek(0)
            if output := log.read().strip():
                print(f"    output of {server.title}: {output[-600:]}", file=sys.stderr)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _version(server: Server) -> str:
    if not server.is_installed:
        return "not installed"
    if server is NODE:
        return procfs.node_version()
    if server is GO:
        return procfs.go_version(GO_PEER)
    return procfs.versions(server.python, server.packages)


def versions() -> list[tuple[str, str]]:
    """Return the title and the versions of the interpreter and the packages of each server."""
    return [(server.title, _version(server)) for server in ALL]
