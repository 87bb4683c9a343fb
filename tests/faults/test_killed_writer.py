"""A server that is killed while it writes loses no row that was committed, and its database opens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import requests
from sqlalchemy import Engine, create_engine, select, text

from persona_stream.db.engine import database_url
from persona_stream.db.tables import exchanges, run_texts, runs
from tests.polling import wait_for
from tests.postgres_server import PostgresServer, needs_postgres
from tests.server_process import SECRET, ServerProcess

_WANTED = 20


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/log.sqlite"
        return
    server = PostgresServer()
    yield server.make()
    server.close()


def served(url: str) -> ServerProcess:
    """Start a server that keeps what happens there."""
    return ServerProcess(
        [f"--jwt-secret={SECRET}", "--backend=tests.backends_for_tests:quick", f"--database-url={url}"]
    )


@contextmanager
def asked_all_the_time(server: ServerProcess) -> Iterator[None]:
    """Ask from a few threads until the end of the block."""
    over = threading.Event()

    def ask() -> None:
        number = 0
        while not over.is_set():
            number += 1
            body = {"username": "ada", "message": f"Question {number}", "conversation_id": f"c-{number}"}
            with suppress(requests.RequestException):  # it is killed in between
                server.post("/api/chat", body)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


def committed(engine: Engine) -> set[str]:
    """Give the runs that another process sees as ended, with their texts and what they say of their conversation."""
    ended = select(runs.c.run_id).where(runs.c.status == "complete")
    for table in (run_texts, exchanges):
        ended = ended.join(table, table.c.run_id == runs.c.run_id)
    try:
        with engine.connect() as connection:
            return set(connection.scalars(ended))
    except Exception:  # noqa: BLE001 # the tables are not there yet
        return set()


def test_what_was_committed_is_there(url: str) -> None:
    """After kill -9, and for the server that is started next."""
    server = served(url)
    engine = create_engine(database_url(url, None))  # type: ignore[arg-type] # the folder is for sqlite:/// alone
    with asked_all_the_time(server):
        wait_for(lambda: len(committed(engine)) >= _WANTED, 60)
        before = committed(engine)
        server.process.kill()
    server.stop()
    if url.startswith("sqlite"):
        with engine.connect() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    assert before <= committed(engine)
    again = served(url)
    try:
        assert again.post("/api/chat", {"username": "ada", "message": "And now?"}).status_code == 200
        assert again.get("/api/conversations").json()["conversations"][0]["title"] == "And now?"
        assert before < committed(engine)
    finally:
        assert again.stop() == 0
        engine.dispose()
