"""Programs that run for the duration of a test."""

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
    """Run a program for the duration of the block; yield the file with its output.

    Args:
        command: the program and its arguments.
        ready: an address that responds with 200 once the program is usable.
        patience: maximum seconds until then.
        folder: its working directory, home and log location.
        environment: its variables besides PATH; nothing is inherited, neither keys nor proxies.
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
            # A program may listen before it responds.
            with suppress(requests.ConnectionError, requests.Timeout):
                if session.get(ready, timeout=5).status_code == 200:
                    return
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
