"""The way to a database."""

from __future__ import annotations

import stat
from pathlib import Path

from sqlalchemy import text

from persona_stream.db.engine import database_url, open_engine


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_what_people_asked_is_for_the_owner_alone(tmp_path: Path) -> None:
    """Whatever the folder lets others see: the file, and what SQLite puts beside it."""
    tmp_path.chmod(0o755)
    file = tmp_path / "log.sqlite"
    made = open_engine(database_url(f"sqlite:///{file}", tmp_path), 1)
    with made.connect() as connection:
        connection.execute(text("CREATE TABLE t (c)"))
        files = list(tmp_path.iterdir())
        assert {each.name for each in files} == {"log.sqlite", "log.sqlite-wal", "log.sqlite-shm"}
        assert {mode(each) for each in files} == {0o600}
    made.dispose()


def test_what_the_operator_has_set_stays(tmp_path: Path) -> None:
    """A group may be meant to read it."""
    file = tmp_path / "log.sqlite"
    file.touch()
    file.chmod(0o640)
    open_engine(database_url(f"sqlite:///{file}", tmp_path), 1).dispose()
    assert mode(file) == 0o640
