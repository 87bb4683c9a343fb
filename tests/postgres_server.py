"""Private PostgreSQL server for tests, on a free port, in its own directory and without durability."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.ports import free_port

_DEBIAN = Path("/usr/lib/postgresql")
TIMEOUT = 30.0  # seconds
_NO_DURABILITY = ("fsync=off", "full_page_writes=off", "unix_socket_directories=")


def _find_programs() -> Path | None:
    """Return the directory of the newest installed version; Debian keeps it out of the path."""
    if (program := shutil.which("initdb")) is not None:
        return Path(program).parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]), reverse=True)
    return versions[0].parent if versions else None


PROGRAMS = _find_programs()

needs_postgres = pytest.mark.skipif(
    PROGRAMS is None and os.environ.get("CI") != "true", reason="needs PostgreSQL: apt-get install postgresql"
)


class PostgresServer:
    """PostgreSQL process that can be killed, restarted and suspended."""

    def __init__(self) -> None:
        assert PROGRAMS is not None, "PostgreSQL is missing, and CI must not skip its tests"
        self._folder = Path(tempfile.mkdtemp(prefix="persona-stream-postgres-"))
        self._numbers = itertools.count(1)
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        if _user():
            shutil.chown(self._folder, **_user_and_group())
        paths = ["--pgdata", self._folder / "data", "--username=postgres", "--auth=trust"]
        options = ["--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            [PROGRAMS / "initdb", *paths, *options],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            **_user(),
        )
        assert done.returncode == 0, done.stderr
        self.start()

    @property
    def url(self) -> str:
        """URL of the default database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of a database, for the setting ``database_url``."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def make(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def start(self) -> None:
        """Start the server with the data of its directory."""
        options = [f"--{option}" for option in (*_NO_DURABILITY, "listen_addresses=127.0.0.1", f"port={self.port}")]
        self.process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", self._folder / "data", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            **_user(),
        )
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until, "PostgreSQL did not start"
                time.sleep(0.05)  # seconds between two attempts

    def kill(self) -> None:
        """Stop the server without waiting for its connections."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(TIMEOUT)

    def hold(self) -> None:
        """Suspend the postmaster: it accepts no new connections, existing ones stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Resume the postmaster."""
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its directory."""
        if self.process.poll() is None:
            self.release()
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _user() -> dict[str, Any]:
    """Return the user that the server runs as; it does not run as root."""
    return {**_user_and_group(), "extra_groups": []} if os.geteuid() == 0 else {}


def _user_and_group() -> dict[str, str]:
    return {"user": "postgres", "group": "postgres"}
