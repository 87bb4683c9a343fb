"""Celery workers for tests, started through the CLI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.server_process import ENVIRON, ROOT


class CeleryWorker:
    """Running ``persona-stream work`` process.

    Args:
        backend: the import path of its backend.
        redis_url: the Redis of the journals.
        concurrency: the number of queries at once.
        options: further options.
    """

    def __init__(self, backend: str, redis_url: str, concurrency: int = 2, *options: str, cwd: Path = ROOT) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "persona_stream", "work", f"--backend={backend}", f"--redis-url={redis_url}"),
                *(f"--concurrency={concurrency}", *options),
            ],
            cwd=cwd,
            env={**os.environ, **ENVIRON, "PYTHONPATH": f"{ROOT}:{cwd}"},
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def log(self) -> str:
        """Output of the worker."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def children(self) -> list[int]:
        """Return the ids of its processes that run queries."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # A zombie has no command line.
        return [int(pid) for pid in children if b"celery" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def wait_until_ready(self, seconds: float = 20.0) -> None:
        """Wait until Celery consumes messages."""
        until = time.monotonic() + seconds
        while " ready." not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the worker with all of its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._output.close()

    def stop(self, seconds: float = 45.0) -> int:
        """Let the worker finish its queries; return its exit code.

        A process that ends a query just then waits for Celery's main process for up to 30 seconds.
        """
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGUSR1)  # Celery writes the stacks of its threads
            time.sleep(1)  # until they are written
            raise AssertionError(f"the worker did not stop:\n{self.log}") from None
        finally:
            if self.process.poll() is None:
                self.kill()
            self._output.close()
