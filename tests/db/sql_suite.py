"""What is kept is found again, once: run in a process that gevent has patched, for one kind of database."""

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
from persona_stream.core.facts import Answered, Entry, Failed, ProgressReported, ReasoningDelta, Started, TextDelta
from persona_stream.core.query import Principal, Query, UpstreamCall, Usage
from persona_stream.core.run_id import min_run_id_at
from persona_stream.core.usage import custom_prices
from persona_stream.db.engine import database_url, open_engine
from persona_stream.db.migrate import LATEST_REVISION, ensure_schema, migrate, version_of
from persona_stream.db.records import (
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
from persona_stream.db.statements import Write, make_writer
from persona_stream.db.store import CONNECTIONS, SqlStore
from persona_stream.db.tables import conversations, exchanges, metadata, run_texts, runs, writers
from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.runs.request import RequestInfo, RunRequest
from tests.db.factories import ANSWERED, BEGAN, entries, name, order, query, reading, records
from tests.polling import wait_for
from tests.postgres_server import PostgresServer

KIND = os.environ["STORE"]
PRICES = custom_prices({"gpt-*": (2.0, 10.0)})


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer | None]:
    """Start a PostgreSQL, if that is what is looked at."""
    if KIND != "postgresql":
        yield None
        return
    server = PostgresServer()
    yield server
    server.close()


class World:
    """Have a database, and processes that write to it."""

    def __init__(self, url: str, postgres: PostgresServer | None) -> None:
        self.url, self.postgres = database_url(url, Path("/nowhere")), postgres
        self.engine = open_engine(self.url, CONNECTIONS)
        self._stores: list[SqlStore] = []

    def store(self, write: Write | None = None, max_bytes: int = 10**7) -> SqlStore:
        """Open the store as another process would."""
        write = write or make_writer(Privacy(), PRICES)
        self._stores.append(
            SqlStore(open_engine(self.url, CONNECTIONS), write, monotonic_wall_clock(), max_bytes=max_bytes)
        )
        return self._stores[-1]

    def rows(self, table: Table) -> list[Any]:
        """Read a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)))

    def close(self) -> None:
        for store in self._stores:
            store.close(1.0)
        self.engine.dispose()


@pytest.fixture
def world(postgres: PostgresServer | None, tmp_path: Path) -> Iterator[World]:
    """Give an empty database."""
    made = World(postgres.make() if postgres else f"sqlite:///{tmp_path}/store.sqlite", postgres)
    yield made
    made.close()


def keep_run(store: SqlStore, asked: Query, *facts: tuple[float, Any], at: float = BEGAN) -> list[Entry]:
    """Keep a whole run, and what it says of its conversation."""
    run = entries(asked, *(facts or ANSWERED), at=at)
    for record in records(run, asked, at):
        store.enqueue(record)
    return run


def test_a_run_is_logged_with_every_stage(world: World) -> None:
    """What was asked and answered, when, how long each stage took, and what its reader was sent."""
    store = world.store()
    run = keep_run(store, query("What is it?", prompt="Briefly"))
    store.flush(10.0)
    (row,) = world.rows(runs)
    shown = row._asdict()
    assert {key: shown[key] for key in ("owner", "username", "question", "backend", "status", "http_status")} == {
        "owner": "alice",
        "username": "ada",
        "question": "What is it?",
        "backend": "demo",
        "status": "complete",
        "http_status": 200,
    }
    expected = {"waiting": 0.5, "processing": 4.5, "total": 5.0, "ttfe": 0.1, "ttft": 5.5, "delivery": 4.5}
    assert {key: round(shown[key], 3) for key in expected} == expected
    assert (row.readers, row.resumes, row.events, row.pieces, row.sent_bytes, row.characters) == (1, 0, 10, 4, 1000, 9)
    assert (row.input_tokens, row.tokens_estimated, row.cost) == (7, True, None)
    assert round(row.tpot * (row.output_tokens - 1), 3) == 4.0
    (texts,) = world.rows(run_texts)
    assert (texts.run_id, texts.question, texts.prompt, texts.answer, texts.reasoning) == (
        name(run),
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


def test_what_a_provider_was_asked_is_kept_and_what_it_costs(world: World) -> None:
    """Each try, without what opens anything in its address; the model that answered is the run's."""
    store, asked = world.store(), query()
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
    store.enqueue(RunAccepted(run[0], order(asked)))
    store.enqueue(RunFinished(run, tuple(tries), {"not": "kept beside them"}))
    store.flush(10.0)
    (row,), (texts,) = world.rows(runs), world.rows(run_texts)
    assert (row.provider, row.model, row.cost, row.tokens_estimated) == ("openai", "gpt-x", 0.003, False)
    shown = json.loads(texts.upstream)
    assert [each["url"] for each in shown] == ["https://h/v1", "https://h/v1"]
    assert [each["trouble"] for each in shown] == ["busy (503)", None]
    assert shown[1]["response"] == {"choices": []}
    assert texts.raw is None


def test_the_log_keeps_no_texts_where_it_shall_not(world: World) -> None:
    """Neither question nor answer nor reasoning nor what a provider was sent; the numbers stay."""
    store, asked = world.store(make_writer(Privacy(bodies=False), PRICES)), query("secret question", prompt="secret")
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
    store.enqueue(RunAccepted(run[0], order(asked)))
    store.enqueue(RunFinished(run, (upstream,), None))
    store.flush(10.0)
    (row,), (texts,) = world.rows(runs), world.rows(run_texts)
    assert "secret" not in repr(row) + repr(texts)
    assert (row.characters, row.status) == (13, "complete")


def test_reasoning_alone_can_be_left_out(world: World) -> None:
    """The answer stays."""
    store = world.store(make_writer(Privacy(reasoning=False), PRICES))
    keep_run(store, query())
    store.flush(10.0)
    (texts,) = world.rows(run_texts)
    assert (texts.answer, texts.reasoning) == ("It is so.", None)


def test_several_readers_add_up_and_the_first_ones_moments_count(world: World) -> None:
    """A reader that comes back later changes neither the first text's moment nor the delivery."""
    store = world.store()
    run = keep_run(store, query())
    other = world.store()  # another process, where it is read again
    store.flush(10.0)
    other.enqueue(RunDelivered(name(run), reading(BEGAN + 100, resumed=True, events=3, pieces=2, sent_bytes=50)))
    other.flush(10.0)
    other.enqueue(
        RunDelivered(name(run), reading(BEGAN - 0.05, events=0, first_text_at=None, last_at=None, is_whole=False))
    )
    other.flush(10.0)
    (row,) = world.rows(runs)
    assert (row.readers, row.resumes, row.events, row.pieces, row.sent_bytes) == (3, 1, 13, 10, 2050)
    assert (round(row.ttfe, 3), round(row.ttft, 3), round(row.delivery, 3)) == (0.05, 5.5, 4.5)


HOSTILE = "'; DROP TABLE runs; -- \x00 \ud83d \u2028 </script><img src=x> \x1b[31m 👩‍👩‍👧 %s {0} \\"


def test_hostile_texts_are_kept_as_texts(world: World) -> None:
    """NUL and halves of characters are replaced; all else comes back as it was, wherever it stood."""
    store = world.store()
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
    (row,), (texts,), (said,) = world.rows(runs), world.rows(run_texts), world.rows(exchanges)
    assert (row.owner, row.username, row.user_agent, texts.error, said.question) == (clean,) * 5
    assert json.loads(texts.raw).startswith("<object object")


def test_a_record_that_cannot_be_written_keeps_no_other_from_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which kind it was, and the rest is there."""
    good = make_writer(Privacy(), PRICES)

    def write(connection: Connection, records: Any) -> None:
        if any(isinstance(record, RunFinished) and record.raw == "bad" for record in records):
            raise ValueError("no row comes of it")
        good(connection, records)

    store, asked = world.store(write), query()
    run = entries(asked, *ANSWERED)
    with caplog.at_level(logging.ERROR, "persona_stream.store"):
        store.enqueue(RunAccepted(run[0], order(asked)))
        store.enqueue(RunFinished(run, (), "bad"))
        keep_run(store, query("After it"))
        store.flush(10.0)
    assert [row.status for row in world.rows(runs)].count("complete") == 1
    assert len(world.rows(runs)) == 2
    assert "RunFinished could not be written" in caplog.text


def test_a_database_that_goes_away_among_single_records_loses_none(world: World) -> None:
    """What was written before it went is done with; the rest waits, and is written when it is back."""
    good, asked = make_writer(Privacy(), PRICES), 0

    def write(connection: Connection, records: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ValueError("together they come to no row")
        if asked == 4:
            _failing("away")(connection, records)
        good(connection, records)

    store = world.store(write)
    run = keep_run(store, query())
    store.flush(10.0)
    (row,) = world.rows(runs)
    assert (row.run_id, row.status, row.readers) == (name(run), "complete", 1)
    assert len(world.rows(exchanges)) == 1


def test_a_lost_reply_doubles_nothing(world: World) -> None:
    """A batch that is written again, because nobody heard that it was written, changes nothing."""
    store = world.store()
    run = keep_run(store, query())
    store.flush(10.0)
    (mark,) = world.rows(writers)
    store._writer._batch = mark.batch  # as if the reply to the last one had been lost
    store._writer._write_batch([RunDelivered(name(run), reading())])
    (row,) = world.rows(runs)
    assert row.readers == 1


def test_what_comes_after_a_lost_reply_is_written_too(world: World) -> None:
    """The same batch is tried again, and not a longer one that would count as written."""
    store, replies = world.store(), []
    write_batch = store._writer._write_batch

    def lose_the_first_reply(batch: Sequence[Record]) -> int:
        replies.append(write_batch(batch))
        if len(replies) == 1:
            raise OperationalError("", {}, Exception("the connection is gone"))
        return replies[-1]

    store._writer._write_batch = lose_the_first_reply  # type: ignore[method-assign] # nothing else loses one on cue
    keep_run(store, query("First"))
    wait_for(lambda: store.unavailable_services() == ("database",), sleep=gevent.sleep)
    keep_run(store, query("Second"), at=BEGAN + 1)
    store.flush(10.0)
    assert [(row.question, row.status, row.readers) for row in world.rows(runs)] == [
        ("First", "complete", 1),
        ("Second", "complete", 1),
    ]


def test_a_bound_holds_while_the_database_is_away(world: World) -> None:
    """The log loses what is newest, and conversations last longer; nothing raises, and nothing waits."""
    store = world.store(_failing("away"), max_bytes=20_000)
    for number in range(100):
        keep_run(store, query(f"Question {number}"))
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


def test_what_waits_is_written_when_the_database_is_back(world: World) -> None:
    """In its order, and once."""
    good, is_away = make_writer(Privacy(), PRICES), [True]
    bad = _failing("away")

    def write(connection: Connection, records: Any) -> None:
        (bad if is_away[0] else good)(connection, records)

    store = world.store(write)
    for number in range(30):
        keep_run(store, query(f"Question {number}", conversation=f"c-{number}"), at=BEGAN + number)
    wait_for(lambda: store.unavailable_services() == ("database",), sleep=gevent.sleep)
    is_away[0] = False
    store.flush(10.0)
    assert store.unavailable_services() == ()
    assert [row.status for row in world.rows(runs)] == ["complete"] * 30
    assert [row.readers for row in world.rows(runs)] == [1] * 30
    assert len(world.rows(conversations)) == 30


def test_the_hub_goes_on_while_records_are_written(world: World) -> None:
    """Whatever the database takes, no greenlet waits for it."""
    good = make_writer(Privacy(), PRICES)

    def write(connection: Connection, records: Any) -> None:
        from gevent import monkey

        monkey.get_original("time", "sleep")(3.0)
        good(connection, records)

    store, late = world.store(write), []
    clock = monotonic_wall_clock()

    def tick() -> None:
        while True:
            before = clock()
            gevent.sleep(0.01)  # what is measured is by how much it is too long
            late.append(clock() - before - 0.01)

    ticking = gevent.spawn(tick)
    keep_run(store, query())
    store.flush(10.0)
    ticking.kill()
    assert max(late) < 2.0


def test_history_is_whole_exchanges_within_the_bound(world: World) -> None:
    """The newest, oldest first; none without an answer; reasoning where there is nothing else; nobody else's."""
    store = world.store()
    said: list[tuple[str, tuple[tuple[float, Any], ...]]] = [
        ("too old " * 8_000, ((1.0, Answered("forgotten")),)),
        ("One", ((1.0, Answered("1")),)),
        ("Failed", ((1.0, Failed("internal")),)),
        ("Half", ((1.0, TextDelta("2, as far as")), (2.0, Failed("cancelled")))),
        ("Thought", ((1.0, ReasoningDelta("only thought")), (2.0, Answered("", finish="length")))),
    ]
    for number, (message, facts) in enumerate(said):
        asked = query(message)
        store.enqueue(ExchangeCompleted(asked, entries(asked, (0.1, Started()), *facts, at=BEGAN + number)))
    stranger = query("Stranger", owner="bob")
    store.enqueue(ExchangeCompleted(stranger, entries(stranger, *ANSWERED, at=BEGAN + 9)))
    told = [(turn.role, turn.content) for turn in store.load_history(query("And now?")).history]
    assert told == [
        ("user", "One"),
        ("assistant", "1"),
        ("user", "Half"),
        ("assistant", "2, as far as"),
        ("user", "Thought"),
        ("assistant", "only thought"),
    ]


def test_what_is_forgotten_is_gone(world: World) -> None:
    """A conversation, or all of an owner's; in its order among what is written before and after."""
    store = world.store()
    keep_run(store, query("One", conversation="c-1"))
    store.enqueue(DeletedConversation("alice", "c-1"))
    keep_run(store, query("Two", conversation="c-1"), at=BEGAN + 1)
    keep_run(store, query("Three", owner="bob"), at=BEGAN + 2)
    store.flush(10.0)
    assert [row.question for row in world.rows(exchanges)] == ["Two", "Three"]
    store.enqueue(DeletedOwner("alice"))
    store.flush(10.0)
    for table in (runs, exchanges, conversations):
        assert [row.owner for row in world.rows(table)] == ["bob"]
    assert len(world.rows(run_texts)) == 1


def test_the_log_ages(world: World) -> None:
    """Old runs go, with their texts; those that nobody ended in time are over; conversations stay."""
    store = world.store()
    for number in range(1100):
        asked = query(conversation=f"c-{number}")
        store.enqueue(RunAccepted(entries(asked, at=BEGAN + number)[0], order(asked)))
    keep_run(store, query("New"), at=BEGAN + 5000)
    store.enqueue(RetentionSweep(before=min_run_id_at(BEGAN + 1000), over_before=min_run_id_at(BEGAN + 1050)))
    store.flush(20.0)
    assert [row.status for row in world.rows(runs)] == ["error"] * 50 + ["processing"] * 50 + ["complete"]
    assert {row.code for row in world.rows(runs)[:50]} == {"lost"}
    assert len(world.rows(run_texts)) == 101


def test_an_empty_database_gets_its_tables_and_a_full_one_keeps_them(world: World) -> None:
    """Also when several processes start at once."""
    greenlets = [gevent.get_hub().threadpool.spawn(ensure_schema, world.engine) for _ in range(3)]
    for greenlet in greenlets:
        greenlet.get()
    assert version_of(world.engine) == LATEST_REVISION
    keep_run(world.store(), query())
    assert world.store().unavailable_services() == ()


def test_the_migrations_go_up_and_down(world: World) -> None:
    """What they make is what the tables say, and nothing is left when they are undone."""
    with world.engine.begin() as connection:
        migrate(connection, "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert version_of(world.engine) == LATEST_REVISION
    with world.engine.begin() as connection:
        migrate(connection, "base")
    assert set(inspect(world.engine).get_table_names()) == {"alembic_version"}
    with world.engine.begin() as connection:
        migrate(connection, "head")
    store = world.store()
    keep_run(store, query())
    store.flush(10.0)
    with world.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(runs)) == 1


# Those of a file are brought up to date by themselves, and there is no older release yet.
_OTHERS = [("9999", "newer release"), *([("0000", "db upgrade")] if KIND == "postgresql" else [])]


@pytest.mark.parametrize(("version", "says"), _OTHERS)
def test_tables_of_another_release_stop_the_start(world: World, version: str, says: str) -> None:
    """With a sentence that says what to do."""
    ensure_schema(world.engine)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with pytest.raises(ConfigurationError, match=says):
        world.store()
