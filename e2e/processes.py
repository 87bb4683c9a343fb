"""Programs that a test starts, and that end with it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import requests


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str | Path], ready: str, patience: float, folder: Path, environment: Mapping[str, str]
) -> Iterator[Path]:
    """Run a program until the end of the block, and give the file that its output goes to.

    Args:
        command: the program and its arguments.
        ready: an address that answers 200 when the program can be used.
        patience: seconds until then, at most.
        folder: where it runs, keeps what it keeps, and logs.
        environment: its variables, beside PATH. Nothing of ours, so that nobody's keys or proxies are in it.
    """
    log = folder / "log"
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUNBUFFERED": "1", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, ready, patience, log)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: str, patience: float, log: Path) -> None:
    until = time.monotonic() + patience
    with requests.Session() as session:
        session.trust_env = False
        while True:
            # A program may listen before it has the time to answer.
            with suppress(requests.ConnectionError, requests.Timeout):
                if session.get(ready, timeout=5).status_code == 200:
                    return
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
