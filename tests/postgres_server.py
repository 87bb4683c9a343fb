"""A private PostgreSQL for tests: on a free port, in a folder of its own, and as careless with its disk as can be."""

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
_PATIENCE = 30.0  # seconds
_CARELESS = ("fsync=off", "full_page_writes=off", "unix_socket_directories=")


def _found() -> Path | None:
    """Find the folder of its programs, which Debian keeps out of the path: the newest there is."""
    if (program := shutil.which("initdb")) is not None:
        return Path(program).parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]), reverse=True)
    return versions[0].parent if versions else None


PROGRAMS = _found()

needs_postgres = pytest.mark.skipif(
    PROGRAMS is None and os.environ.get("CI") != "true", reason="needs PostgreSQL: apt-get install postgresql"
)


class PostgresServer:
    """A PostgreSQL that runs, and can be killed, started again, and held up."""

    def __init__(self) -> None:
        assert PROGRAMS is not None, "PostgreSQL is missing, and CI skips nothing"
        self._folder = Path(tempfile.mkdtemp(prefix="persona-stream-postgres-"))
        self._numbers = itertools.count(1)
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        if _user():
            shutil.chown(self._folder, **_user_and_group())
        where = ["--pgdata", self._folder / "data", "--username=postgres", "--auth=trust"]
        how = ["--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            [PROGRAMS / "initdb", *where, *how],
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
        """The address of the database that is there from the beginning."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Give the address of a database, as the setting database_url has it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def make(self) -> str:
        """Make an empty database, and give its address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def start(self) -> None:
        """Start it, with what was written before."""
        options = [f"--{option}" for option in (*_CARELESS, "listen_addresses=127.0.0.1", f"port={self.port}")]
        self.process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", self._folder / "data", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            **_user(),
        )
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until, "PostgreSQL did not start"
                time.sleep(0.05)  # between two tries

    def kill(self) -> None:
        """End it at once, with every connection."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(_PATIENCE)

    def hold(self) -> None:
        """Let it take no new connections, and leave those that there are."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove what it left."""
        if self.process.poll() is None:
            self.release()
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _user() -> dict[str, Any]:
    """Say as whom it runs: it refuses to be root."""
    return {**_user_and_group(), "extra_groups": []} if os.geteuid() == 0 else {}


def _user_and_group() -> dict[str, str]:
    return {"user": "postgres", "group": "postgres"}
