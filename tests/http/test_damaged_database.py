"""A database whose file is damaged while the server is running."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.polling import wait_for
from tests.server_process import ServerProcess, serve, token

ADMIN = {"Authorization": f"Bearer {token('boss', scope='chat admin')}"}
READS = ("/dashboard/api/runs", "/dashboard/api/stats", "/dashboard/api/choices", "/api/conversations")


def statuses(server: ServerProcess) -> set[int]:
    return {server.get(path, headers=ADMIN).status_code for path in READS}


def ask(server: ServerProcess, **more: str) -> int:
    return server.post("/api/chat", {"username": "quick", "message": "Hi", **more}).status_code


def overwrite(file: Path, begin: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(begin)
        opened.write(data)


DAMAGES = {
    "another kind of file": lambda file: file.write_text("hello " * 50_000),
    "a damaged header": lambda file: overwrite(file, 0, b"garbage" * 400),
    "damaged pages": lambda file: overwrite(file, 4096, os.urandom(file.stat().st_size - 4096)),
    "a truncated file": lambda file: os.truncate(file, file.stat().st_size // 2),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_database_stops_no_run(tmp_path: Path, kind: str) -> None:
    """What needs it is 503 without a traceback, /readyz names it, and a new file repairs it."""
    file = tmp_path / "log.sqlite"
    server = serve("tests.backends_for_tests:chosen", database_url=f"sqlite:///{file}")
    try:
        for _ in range(40):
            assert ask(server) == 200
        wait_for(lambda: len(server.get("/dashboard/api/runs", headers=ADMIN).json()["runs"]) == 40, 10)
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        DAMAGES[kind](file)
        with server.no_traceback():
            assert ask(server) == 200
            # Pages that are in the memory of a connection can still be read.
            wait_for(lambda: statuses(server) and server.get("/readyz").status_code == 503)
            ready = server.get("/readyz")
            assert (ready.status_code, ready.json()["missing"]) == (503, ["database"])
            assert statuses(server) <= {200, 503}
            assert ask(server) == 200
            assert ask(server, conversation_id="talk") == 503
            assert server.log.count("the database is damaged") == 1
            for path in tmp_path.glob("log.sqlite*"):
                path.unlink()
            wait_for(lambda: server.get("/readyz").json() == {"status": "ready"}, 15)
            assert statuses(server) == {200}
            assert ask(server, conversation_id="talk") == 200
            assert file.stat().st_mode & 0o777 == 0o600
    finally:
        assert server.stop() == 0


def test_a_deleted_database_is_created_anew(tmp_path: Path) -> None:
    """Its open connections would write into nothing."""
    file = tmp_path / "log.sqlite"
    server = serve("tests.backends_for_tests:chosen", database_url=f"sqlite:///{file}")
    try:
        assert ask(server) == 200
        for path in tmp_path.glob("log.sqlite*"):
            path.unlink()
        assert ask(server) == 200
        server.wait_for_log("is missing: creating a new one")
        wait_for(lambda: len(server.get("/dashboard/api/runs", headers=ADMIN).json().get("runs", ())) >= 1, 10)
        assert file.exists()
    finally:
        assert server.stop() == 0


def test_a_damaged_database_stops_the_start(tmp_path: Path) -> None:
    """With one sentence that names the file."""
    file = tmp_path / "log.sqlite"
    file.write_text("hello " * 1000)
    with pytest.raises(RuntimeError, match=f"file is not a database; repair or move {file}"):
        serve("tests.backends_for_tests:chosen", database_url=f"sqlite:///{file}")
