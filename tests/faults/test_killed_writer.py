"""A server that is killed while it writes to the database."""

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

_MIN_COMMITTED_RUNS = 20


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/log.sqlite"
        return
    server = PostgresServer()
    yield server.make()
    server.close()


def start_server(url: str) -> ServerProcess:
    """Start a server with this database."""
    return ServerProcess(
        [f"--jwt-secret={SECRET}", "--backend=tests.backends_for_tests:quick", f"--database-url={url}"]
    )


@contextmanager
def continuous_load(server: ServerProcess) -> Iterator[None]:
    """Send requests from several threads until the end of the block."""
    is_over = threading.Event()

    def ask() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            body = {"username": "ada", "message": f"Question {number}", "conversation_id": f"c-{number}"}
            with suppress(requests.RequestException):  # the server is killed meanwhile
                server.post("/api/chat", body)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    is_over.set()
    for thread in threads:
        thread.join()


def committed(engine: Engine) -> set[str]:
    """Return the runs that are committed as ended, with their texts and exchanges."""
    ended = select(runs.c.run_id).where(runs.c.status == "complete")
    for table in (run_texts, exchanges):
        ended = ended.join(table, table.c.run_id == runs.c.run_id)
    try:
        with engine.connect() as connection:
            return set(connection.scalars(ended))
    except Exception:  # noqa: BLE001 # the tables do not exist yet
        return set()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Engine of the database, whose connections are closed also when the test fails."""
    engine = create_engine(database_url(url, None))  # type: ignore[arg-type] # the directory is needed for sqlite:/// only
    yield engine
    engine.dispose()


def test_committed_rows_survive_a_kill(url: str, engine: Engine) -> None:
    """The database is intact, and the next server can use it."""
    server = start_server(url)
    with continuous_load(server):
        wait_for(lambda: len(committed(engine)) >= _MIN_COMMITTED_RUNS, 60)
        before = committed(engine)
        server.process.kill()
    server.stop()
    if url.startswith("sqlite"):
        with engine.connect() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    assert before <= committed(engine)
    restarted = start_server(url)
    try:
        assert restarted.post("/api/chat", {"username": "ada", "message": "And now?"}).status_code == 200
        assert restarted.get("/api/conversations").json()["conversations"][0]["title"] == "And now?"
        assert before < committed(engine)
    finally:
        assert restarted.stop() == 0
        engine.dispose()
