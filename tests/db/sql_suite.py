"""Contract of the SQL store; run by test_store.py in a process that gevent has patched, for one kind of database."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from persona_stream.backends.base import Backend
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Failed,
    InputRequested,
    ProgressReported,
    ReasoningDelta,
    Started,
)
from persona_stream.core.query import InputRequest, Principal, Query, UpstreamCall, Usage
from persona_stream.core.run_id import min_run_id_at
from persona_stream.core.usage import custom_prices
from persona_stream.db import queries
from persona_stream.db.base import (
    DeletedConversation,
    DeletedOwner,
    ExchangeCompleted,
    Privacy,
    Record,
    RetentionSweep,
    RunAccepted,
    RunDelivered,
    RunFinished,
)
from persona_stream.db.engine import LATEST_REVISION, database_url, ensure_schema, migrate, open_engine, version_of
from persona_stream.db.statements import Write, make_writer
from persona_stream.db.store import CONNECTIONS, SqlStore
from persona_stream.db.tables import conversations, exchanges, metadata, run_texts, runs, writers
from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.runs.base import RequestInfo, RunRequest
from tests.db.factories import ANSWERED, BEGAN, entries, query, records, run_id_of, run_request, subscription
from tests.polling import wait_for
from tests.postgres_server import PostgresServer

KIND = os.environ["STORE"]
PRICES = custom_prices({"gpt-*": (2.0, 10.0)})


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer | None]:
    """Start a PostgreSQL server if it is the kind under test."""
    if KIND != "postgresql":
        yield None
        return
    server = PostgresServer()
    yield server
    server.close()


class Database:
    """Database under test, and the stores that write to it."""

    def __init__(self, url: str, postgres: PostgresServer | None) -> None:
        self.url = database_url(url, Path("/nowhere"))
        self.postgres = postgres
        self.engine = open_engine(self.url, CONNECTIONS)
        self._stores: list[SqlStore] = []

    def store(self, write: Write | None = None, max_bytes: int = 10**7) -> SqlStore:
        """Open a store as another process would."""
        write = write or make_writer(Privacy(), PRICES)
        self._stores.append(
            SqlStore(open_engine(self.url, CONNECTIONS), write, monotonic_wall_clock(), max_bytes=max_bytes)
        )
        return self._stores[-1]

    def rows(self, table: Table) -> list[Any]:
        """Return the rows of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)))

    def close(self) -> None:
        for store in self._stores:
            store.close(1.0)
        self.engine.dispose()


@pytest.fixture
def database(postgres: PostgresServer | None, tmp_path: Path) -> Iterator[Database]:
    """Create an empty database."""
    made = Database(postgres.make() if postgres else f"sqlite:///{tmp_path}/store.sqlite", postgres)
    yield made
    made.close()


def enqueue_run(store: SqlStore, asked: Query, *facts: tuple[float, Any], at: float = BEGAN) -> list[Entry]:
    """Enqueue all records of a run."""
    run = entries(asked, *(facts or ANSWERED), at=at)
    for record in records(run, asked, at):
        store.enqueue(record)
    return run


def test_a_run_is_logged_with_every_stage(database: Database) -> None:
    """Request, answer, times, durations and delivery are in the log."""
    store = database.store()
    run = enqueue_run(store, query("What is it?", prompt="Briefly"))
    store.flush(10.0)
    (row,) = database.rows(runs)
    shown = row._asdict()
    assert {key: shown[key] for key in ("owner", "username", "question", "backend", "status", "http_status")} == {
        "owner": "alice",
        "username": "ada",
        "question": "What is it?",
        "backend": "demo",
        "status": "complete",
        "http_status": 200,
    }
    expected = {"waiting": 0.5, "processing": 4.5, "total": 9.5, "ttfe": 0.1, "ttft": 5.5, "delivery": 4.5}
    assert {key: round(shown[key], 3) for key in expected} == expected
    assert (row.readers, row.resumes, row.events, row.pieces, row.sent_bytes, row.characters) == (1, 0, 10, 4, 1000, 9)
    assert (row.input_tokens, row.tokens_estimated, row.cost) == (7, True, None)
    assert round(row.tpot * (row.output_tokens - 1), 3) == 4.0
    (texts,) = database.rows(run_texts)
    assert (texts.run_id, texts.question, texts.prompt, texts.answer, texts.reasoning) == (
        run_id_of(run),
        "What is it?",
        "Briefly",
        "It is so.",
        "Hm.",
    )
    assert json.loads(texts.request_headers) == [["Host", "x"], ["Authorization", "***"]]
    assert json.loads(texts.response_headers) == [["Content-Type", "text/event-stream"]]
    assert [(step["kind"], round(step["at"] - BEGAN, 1)) for step in json.loads(texts.steps)] == [
        ("started", 0.5),
        ("reported", 1.0),
        ("reasoned", 5.0),
        ("answered", 5.0),
    ]


def test_the_durations_of_recent_runs_are_read_oldest_first(database: Database) -> None:
    """Until the text, with their features; without runs that failed, never started, or asked the user."""
    store = database.store()
    endings: list[tuple[tuple[float, Any], ...]] = [
        ((0.5, Started()), (5.0, Answered("It is so."))),
        ((0.5, Started()), (2.0, AnswerDelta("Half")), (9.0, Failed("internal"))),
        ((0.5, Started()), (9.5, Failed("timeout"))),
        ((0.5, Started()), (1.0, Failed("cancelled"))),
        ((0.5, Started()), (1.0, Failed("internal"))),
        ((60.0, Failed("timeout")),),
        ((0.5, Started()), (1.0, InputRequested(InputRequest("q1", "Which?"))), (9.0, Answered("It is so."))),
    ]
    for number, happened in enumerate(endings):
        asked = query("What is it?")
        for record in records(entries(asked, *happened, at=BEGAN + number), asked, BEGAN + number):
            store.enqueue(record)
    store.flush(10.0)
    found = store.query(queries.recent_durations)
    assert [(backend, round(run.duration, 3), run.outcome) for backend, run in found] == [
        ("demo", 4.5, "complete"),
        ("demo", 1.5, "complete"),
        ("demo", 9.0, "timeout"),
        ("demo", 0.5, "cancelled"),
    ]
    features = found[0][1].features
    assert (features.question_tokens, features.persona, round(features.at - BEGAN, 3)) == (7, "ada", 0.5)


def test_provider_calls_and_their_cost_are_logged(database: Database) -> None:
    """Each attempt is logged without credentials in its URL; the run has the model of the last one."""
    store, asked = database.store(), query()
    run = entries(asked, (0.1, Started()), (2.0, Answered("Yes.", Usage(input_tokens=1000, output_tokens=100))))
    tries = [
        UpstreamCall(
            provider="openai",
            model="gpt-x",
            url="https://me:pw@h/v1?key=1",
            request={"model": "gpt-x"},
            error="busy (503)",
            began_at=BEGAN + 0.1,
            seconds=0.5,
        ),
        UpstreamCall(
            provider="openai",
            model="gpt-x",
            url="https://h/v1",
            request={"model": "gpt-x"},
            response={"choices": []},
            began_at=BEGAN + 1.0,
            seconds=1.0,
        ),
    ]
    store.enqueue(RunAccepted(run[0], run_request(asked)))
    store.enqueue(RunFinished(run, tuple(tries), {"not": "kept beside them"}))
    store.flush(10.0)
    (row,), (texts,) = database.rows(runs), database.rows(run_texts)
    assert (row.provider, row.model, row.cost, row.tokens_estimated) == ("openai", "gpt-x", 0.003, False)
    shown = json.loads(texts.upstream)
    assert [each["url"] for each in shown] == ["https://h/v1", "https://h/v1"]
    assert [each["trouble"] for each in shown] == ["busy (503)", None]
    assert shown[1]["response"] == {"choices": []}
    assert texts.raw is None


def test_texts_are_not_logged_if_log_bodies_is_off(database: Database) -> None:
    """Question, answer, reasoning and provider requests are left out; the numbers stay."""
    store, asked = database.store(make_writer(Privacy(bodies=False), PRICES)), query("secret question", prompt="secret")
    run = entries(asked, *ANSWERED[:1], (1.0, ProgressReported("secret step", 0.1)), (2.0, Answered("secret answer")))
    upstream = UpstreamCall(
        provider="openai",
        model="m",
        url="http://h/",
        request={"secret": 1},
        response={"secret": 2},
        began_at=BEGAN,
        seconds=1.0,
    )
    store.enqueue(RunAccepted(run[0], run_request(asked)))
    store.enqueue(RunFinished(run, (upstream,), None))
    store.flush(10.0)
    (row,), (texts,) = database.rows(runs), database.rows(run_texts)
    assert "secret" not in repr(row) + repr(texts)
    assert (row.characters, row.status) == (13, "complete")


def test_reasoning_is_not_logged_if_log_reasoning_is_off(database: Database) -> None:
    """The answer is logged."""
    store = database.store(make_writer(Privacy(reasoning=False), PRICES))
    enqueue_run(store, query())
    store.flush(10.0)
    (texts,) = database.rows(run_texts)
    assert (texts.answer, texts.reasoning) == ("It is so.", None)


def test_several_subscriptions_add_up_and_the_earliest_moments_count(database: Database) -> None:
    """A later subscription changes neither the time of the first text nor the delivery."""
    store = database.store()
    run = enqueue_run(store, query())
    other = database.store()  # of another process, with a later subscription
    store.flush(10.0)
    other.enqueue(
        RunDelivered(run_id_of(run), subscription(BEGAN + 100, resumed=True, events=3, chunks=2, sent_bytes=50))
    )
    other.flush(10.0)
    other.enqueue(
        RunDelivered(
            run_id_of(run), subscription(BEGAN - 0.05, events=0, first_text_at=None, last_at=None, is_whole=False)
        )
    )
    other.flush(10.0)
    (row,) = database.rows(runs)
    assert (row.readers, row.resumes, row.events, row.pieces, row.sent_bytes) == (3, 1, 13, 10, 2050)
    assert (round(row.ttfe, 3), round(row.ttft, 3), round(row.delivery, 3)) == (0.05, 5.5, 4.5)


HOSTILE = "'; DROP TABLE runs; -- \x00 \ud83d \u2028 </script><img src=x> \x1b[31m 👩‍👩‍👧 %s {0} \\"


def test_hostile_texts_are_stored_literally(database: Database) -> None:
    """NUL and lone surrogates are replaced; every other character is stored as it is, in every column."""
    store = database.store()
    asked = Query(username=HOSTILE, message=HOSTILE, conversation_id="c-1", principal=Principal(HOSTILE))
    run = entries(
        asked, (0.1, Started()), (0.2, ProgressReported(HOSTILE, None)), (1.0, Failed("backend_error", HOSTILE))
    )
    origin = RequestInfo(user_agent=HOSTILE, headers=(("X", "\udcff\x00"),), body=b"\xff\x00{", endpoint="/api/chat")
    store.enqueue(
        RunAccepted(run[0], RunRequest(asked, Backend("b", lambda query: ""), "smart", "words", request_info=origin))
    )
    store.enqueue(RunFinished(run, (), object()))
    store.enqueue(ExchangeCompleted(asked, run))
    store.flush(10.0)
    clean = HOSTILE.replace("\x00", "\ufffd").replace("\ud83d", "\ufffd")
    (row,), (texts,), (said,) = database.rows(runs), database.rows(run_texts), database.rows(exchanges)
    assert (row.owner, row.username, row.user_agent, texts.error, said.question) == (clean,) * 5
    assert json.loads(texts.raw).startswith("<object object")


def test_a_record_that_cannot_be_written_blocks_no_other(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The log names its type, and the other records are written."""
    good = make_writer(Privacy(), PRICES)

    def write(connection: Connection, records: Any) -> None:
        if any(isinstance(record, RunFinished) and record.raw == "bad" for record in records):
            raise ValueError("no row comes of it")
        good(connection, records)

    store, asked = database.store(write), query()
    run = entries(asked, *ANSWERED)
    with caplog.at_level(logging.ERROR, "persona_stream.store"):
        store.enqueue(RunAccepted(run[0], run_request(asked)))
        store.enqueue(RunFinished(run, (), "bad"))
        enqueue_run(store, query("After it"))
        store.flush(10.0)
    assert [row.status for row in database.rows(runs)].count("complete") == 1
    assert len(database.rows(runs)) == 2
    assert "RunFinished could not be written" in caplog.text


def test_an_outage_among_single_records_loses_none(database: Database) -> None:
    """Records written before the outage are not repeated; the rest is written afterwards."""
    good, asked = make_writer(Privacy(), PRICES), 0

    def write(connection: Connection, records: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ValueError("together they come to no row")
        if asked == 4:
            _failing("away")(connection, records)
        good(connection, records)

    store = database.store(write)
    run = enqueue_run(store, query())
    store.flush(10.0)
    (row,) = database.rows(runs)
    assert (row.run_id, row.status, row.readers) == (run_id_of(run), "complete", 1)
    assert len(database.rows(exchanges)) == 1


def test_a_lost_reply_writes_nothing_twice(database: Database) -> None:
    """A batch that is repeated because its reply was lost changes nothing."""
    store = database.store()
    run = enqueue_run(store, query())
    store.flush(10.0)
    (mark,) = database.rows(writers)
    store._writer._batch = mark.batch  # as if the reply to the last one had been lost
    store._writer._write_batch([RunDelivered(run_id_of(run), subscription())])
    (row,) = database.rows(runs)
    assert row.readers == 1


def test_records_after_a_lost_reply_are_written(database: Database) -> None:
    """The retry repeats the same batch, not a longer one that would count as written."""
    store, replies = database.store(), []
    write_batch = store._writer._write_batch

    def lose_the_first_reply(batch: Sequence[Record]) -> int:
        replies.append(write_batch(batch))
        if len(replies) == 1:
            raise OperationalError("", {}, Exception("the connection is gone"))
        return replies[-1]

    store._writer._write_batch = lose_the_first_reply  # type: ignore[method-assign] # nothing else loses one on cue
    enqueue_run(store, query("First"))
    wait_for(lambda: store.unavailable_services() == ("database",), sleep=gevent.sleep)
    enqueue_run(store, query("Second"), at=BEGAN + 1)
    store.flush(10.0)
    assert [(row.question, row.status, row.readers) for row in database.rows(runs)] == [
        ("First", "complete", 1),
        ("Second", "complete", 1),
    ]


def test_the_queue_is_bounded_during_an_outage(database: Database) -> None:
    """The newest log records are dropped, conversations have twice the space; enqueue neither raises nor blocks."""
    store = database.store(_failing("away"), max_bytes=20_000)
    for number in range(100):
        enqueue_run(store, query(f"Question {number}"))
    assert store.dropped > 0
    assert 0 < store.pending < 500
    wait_for(lambda: store.unavailable_services() == ("database",), sleep=gevent.sleep)
    with pytest.raises(Unavailable):
        store.flush(0.2)


def _failing(text: str) -> Write:
    from sqlalchemy.exc import OperationalError

    def write(connection: Connection, records: Any) -> None:
        raise OperationalError("x", {}, Exception(text))

    return write


def test_queued_records_are_written_after_an_outage(database: Database) -> None:
    """In order, and each once."""
    good, is_away = make_writer(Privacy(), PRICES), [True]
    bad = _failing("away")

    def write(connection: Connection, records: Any) -> None:
        (bad if is_away[0] else good)(connection, records)

    store = database.store(write)
    for number in range(30):
        enqueue_run(store, query(f"Question {number}", conversation=f"c-{number}"), at=BEGAN + number)
    wait_for(lambda: store.unavailable_services() == ("database",), sleep=gevent.sleep)
    is_away[0] = False
    store.flush(10.0)
    assert store.unavailable_services() == ()
    assert [row.status for row in database.rows(runs)] == ["complete"] * 30
    assert [row.readers for row in database.rows(runs)] == [1] * 30
    assert len(database.rows(conversations)) == 30


def test_the_event_loop_continues_while_records_are_written(database: Database) -> None:
    """No greenlet waits for a slow database."""
    good = make_writer(Privacy(), PRICES)

    def write(connection: Connection, records: Any) -> None:
        from gevent import monkey

        monkey.get_original("time", "sleep")(3.0)
        good(connection, records)

    store, late = database.store(write), []
    clock = monotonic_wall_clock()

    def tick() -> None:
        while True:
            before = clock()
            gevent.sleep(0.01)  # the excess of this sleep is measured
            late.append(clock() - before - 0.01)

    ticking = gevent.spawn(tick)
    enqueue_run(store, query())
    store.flush(10.0)
    ticking.kill()
    assert max(late) < 2.0


def test_history_consists_of_whole_exchanges_within_the_limit(database: Database) -> None:
    """The newest exchanges, oldest first: those with an answer or reasoning, of this owner alone."""
    store = database.store()
    said: list[tuple[str, tuple[tuple[float, Any], ...]]] = [
        ("too old " * 8_000, ((1.0, Answered("forgotten")),)),
        ("One", ((1.0, Answered("1")),)),
        ("Failed", ((1.0, Failed("internal")),)),
        ("Half", ((1.0, AnswerDelta("2, as far as")), (2.0, Failed("cancelled")))),
        ("Thought", ((1.0, ReasoningDelta("only thought")), (2.0, Answered("", finish="length")))),
    ]
    for number, (message, facts) in enumerate(said):
        asked = query(message)
        store.enqueue(ExchangeCompleted(asked, entries(asked, (0.1, Started()), *facts, at=BEGAN + number)))
    stranger = query("Stranger", owner="bob")
    store.enqueue(ExchangeCompleted(stranger, entries(stranger, *ANSWERED, at=BEGAN + 9)))
    turns = [(turn.role, turn.content) for turn in store.load_history(query("And now?")).history]
    assert turns == [
        ("user", "One"),
        ("assistant", "1"),
        ("user", "Half"),
        ("assistant", "2, as far as"),
        ("user", "Thought"),
        ("assistant", "only thought"),
    ]


def test_deletions_remove_conversations_and_owners(database: Database) -> None:
    """A conversation, or all data of an owner; in order among the records before and after."""
    store = database.store()
    enqueue_run(store, query("One", conversation="c-1"))
    store.enqueue(DeletedConversation("alice", "c-1"))
    enqueue_run(store, query("Two", conversation="c-1"), at=BEGAN + 1)
    enqueue_run(store, query("Three", owner="bob"), at=BEGAN + 2)
    store.flush(10.0)
    assert [row.question for row in database.rows(exchanges)] == ["Two", "Three"]
    store.enqueue(DeletedOwner("alice"))
    store.flush(10.0)
    for table in (runs, exchanges, conversations):
        assert [row.owner for row in database.rows(table)] == ["bob"]
    assert len(database.rows(run_texts)) == 1


def test_the_retention_sweep_deletes_and_closes_runs(database: Database) -> None:
    """Expired runs are deleted with their texts; unfinished old runs become lost; conversations stay."""
    store = database.store()
    for number in range(1100):
        asked = query(conversation=f"c-{number}")
        store.enqueue(RunAccepted(entries(asked, at=BEGAN + number)[0], run_request(asked)))
    enqueue_run(store, query("New"), at=BEGAN + 5000)
    store.enqueue(RetentionSweep(before=min_run_id_at(BEGAN + 1000), over_before=min_run_id_at(BEGAN + 1050)))
    store.flush(20.0)
    assert [row.status for row in database.rows(runs)] == ["error"] * 50 + ["processing"] * 50 + ["complete"]
    assert {row.code for row in database.rows(runs)[:50]} == {"lost"}
    assert len(database.rows(run_texts)) == 101


def test_an_empty_database_gets_tables_and_an_existing_one_keeps_them(database: Database) -> None:
    """Also if several processes start at once."""
    greenlets = [gevent.get_hub().threadpool.spawn(ensure_schema, database.engine) for _ in range(3)]
    for greenlet in greenlets:
        greenlet.get()
    assert version_of(database.engine) == LATEST_REVISION
    enqueue_run(database.store(), query())
    assert database.store().unavailable_services() == ()


def test_the_migrations_go_up_and_down(database: Database) -> None:
    """They lead to the tables of tables.py, and undoing them leaves no table."""
    with database.engine.begin() as connection:
        migrate(connection, "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert version_of(database.engine) == LATEST_REVISION
    with database.engine.begin() as connection:
        migrate(connection, "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    with database.engine.begin() as connection:
        migrate(connection, "head")
    store = database.store()
    enqueue_run(store, query())
    store.flush(10.0)
    with database.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(runs)) == 1


# SQLite files are migrated automatically, and there is no older release yet.
_OTHERS = [("9999", "newer release"), *([("0000", "db upgrade")] if KIND == "postgresql" else [])]


@pytest.mark.parametrize(("version", "says"), _OTHERS)
def test_tables_of_another_release_stop_the_start(database: Database, version: str, says: str) -> None:
    """The error says what to do."""
    ensure_schema(database.engine)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with pytest.raises(ConfigurationError, match=says):
        database.store()
