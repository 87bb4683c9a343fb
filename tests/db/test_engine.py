"""The SQLAlchemy engine."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from sqlalchemy import text

from persona_stream.db.engine import DatabaseThreads, database_url, open_engine


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_database_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """The file and SQLite's files beside it, also in a folder that others can read."""
    tmp_path.chmod(0o755)
    file = tmp_path / "log.sqlite"
    made = open_engine(database_url(f"sqlite:///{file}", tmp_path), 1)
    with made.connect() as connection:
        connection.execute(text("CREATE TABLE t (c)"))
        files = list(tmp_path.iterdir())
        assert {each.name for each in files} == {"log.sqlite", "log.sqlite-wal", "log.sqlite-shm"}
        assert {mode(each) for each in files} == {0o600}
    made.dispose()


def test_permissions_of_an_existing_database_stay(tmp_path: Path) -> None:
    """The operator may share it with a group."""
    file = tmp_path / "log.sqlite"
    file.touch()
    file.chmod(0o640)
    open_engine(database_url(f"sqlite:///{file}", tmp_path), 1).dispose()
    assert mode(file) == 0o640


def test_a_stopped_thread_has_ended() -> None:
    """Or it would crash the process if the interpreter is finalized meanwhile (python-greenlet/greenlet #324)."""
    threads = DatabaseThreads(1)
    native_id = threads.run(threading.get_native_id)
    assert Path(f"/proc/self/task/{native_id}").exists()
    threads.stop()
    assert not Path(f"/proc/self/task/{native_id}").exists()
