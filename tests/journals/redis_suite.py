"""Contract suite and further tests of journals in Redis; needs a process that is patched by gevent."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import redis
from msgspec import structs

from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Fact,
    Failed,
    Queued,
    ReasoningDelta,
    Started,
    has_ended,
    run_terms,
)
from persona_stream.core.forecast import MAX_RUNS, Forecast
from persona_stream.errors import ConfigurationError, Conflict, Gone, NotFound, Unavailable
from persona_stream.journals.base import IdempotencyKey, Journal
from persona_stream.journals.redis.store import RedisJournalStore
from persona_stream.runs.forecasts import finished_run
from tests.journals.contract import *  # noqa: F403 - the tests of the contract
from tests.journals.contract import accepted_run, create, facts, run_ids, write
from tests.redis_server import RedisServer

_UNIT = 1.5


class Harness:
    """Redis server, and stores that share it like processes."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.now = monotonic_wall_clock()
        self._stores: list[RedisJournalStore] = []

    def make(self, retention_bytes: int = 10_000, lease: float = 3.0) -> RedisJournalStore:
        self._stores.append(
            RedisJournalStore(self.server.url, self.now, lease=lease, retention=_UNIT, retention_bytes=retention_bytes)
        )
        return self._stores[-1]

    def wait(self, units: float) -> None:
        gevent.sleep(units * _UNIT)  # keys expire by the clock of Redis, which cannot be faked

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        with gevent.Timeout(seconds):
            while not condition():
                gevent.sleep(0.005)

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def harness(server: RedisServer) -> Iterator[Harness]:
    server.client().flushall()
    harness = Harness(server)
    yield harness
    harness.close()


def spy(server: RedisServer, seen: list[str]) -> gevent.Greenlet:
    """Record the name of each command that a client sends; the commands of scripts are ignored."""

    def watch() -> None:
        with redis.Redis.from_url(server.url, decode_responses=True) as client, client.monitor() as monitor:
            seen.append("READY")
            for command in monitor.listen():
                if command["client_type"] != "lua":
                    seen.append(command["command"].split()[0].upper())

    greenlet = gevent.spawn(watch)
    while not seen:
        gevent.sleep(0.01)
    return greenlet


def test_a_run_costs_few_commands(harness: Harness):
    """At most four for the run, two for each process that follows it, and periodic lease renewals."""
    here, there = harness.make(retention_bytes=10**6, lease=60.0), harness.make(retention_bytes=10**6, lease=60.0)
    for store in (here, there):  # loads the scripts
        write(harness, create(harness, store), Started(), Answered("Hi."))
        harness.until(lambda store=store: store.unavailable_services() == ())
    seen: list[str] = []
    watching = spy(harness.server, seen)
    journal = create(harness, here, key=IdempotencyKey("key", "digest"))
    write(harness, journal, Started())
    write(harness, journal, Answered("Hi."))
    run = [name for name in seen[1:] if name != "MONITOR"]
    assert run.count("EVALSHA") == len(run) <= 4  # one of them may renew a lease
    del seen[1:]
    journal = create(harness, here)
    write(harness, journal, Started())
    del seen[1:]
    read = there.follow(run_terms(journal.entries).run_id)
    read.subscribe(lambda: None)
    write(harness, journal, Answered("Hi."))
    harness.until(lambda: has_ended(read.entries))
    assert [name for name in seen[1:] if name != "EVALSHA"] == ["SUBSCRIBE", "XRANGE"]
    watching.kill()


@pytest.mark.parametrize(
    "happened",
    [
        [Started(), Answered("Hi.")],
        [Started(), Answered('\n"cached":true\n' * 1000)],
        [Started(), Answered("Hi.", cached=True)],
        [Started(history_tokens=7), AnswerDelta("H"), AnswerDelta("i."), Failed("internal")],
        [Started(forecast=Forecast((1.0, 2.0), (200, 900), (0, 1000), runs=20)), Failed("timeout")],
        [ReasoningDelta('{"type":"answered"}'), Started(), ReasoningDelta("Hm."), Failed("cancelled")],
        [Started(), Failed("backend_error", 'no,"code":"timeout"')],
        [Failed("timeout")],
        [Queued(1), Failed("cancelled")],
    ],
)
def test_each_process_reads_the_durations_of_all_runs_once(harness: Harness, happened: list[Fact]):
    """Of the runs that ended, by its own facts or by another process; as if they were its own."""
    here, there = harness.make(), harness.make()
    names = {"username": 'Ada "é" 语,"request":"', "backend": "slow: 语"}
    terms = structs.replace(accepted_run(harness), **names, question_tokens=30, request='{"backend":"other"}')
    journal, _ = here.create(terms, None)
    write(harness, journal, *happened[:-1])
    other = there.follow(run_terms(journal.entries).run_id)
    other.subscribe(lambda: None)
    other.append(happened[-1])
    harness.until(lambda: has_ended(journal.entries))
    expected = finished_run(journal.entries)
    for store in (here, there, harness.make()):
        found = store.new_durations()
        assert [(backend, run.outcome) for backend, run in found] == (
            [("slow: 语", expected.outcome)] if expected else []
        )
        for _, run in found:
            assert run.duration == pytest.approx(expected.duration, abs=0.001)
            assert structs.replace(run.features, at=0.0) == structs.replace(expected.features, at=0.0)
            assert run.features.at == pytest.approx(expected.features.at, abs=0.001)
        assert store.new_durations() == []


def test_the_newest_durations_of_each_backend_are_kept(harness: Harness):
    """In the order in which the runs ended, which is the same for all processes."""
    here, there = harness.make(retention_bytes=10**7), harness.make(retention_bytes=10**7)
    for store, backend, count in ((here, "slow", 120), (there, "slow", 120), (here, "fast", 1), (here, "", 1)):
        for number in range(count):
            terms = structs.replace(accepted_run(harness), backend=backend, question_tokens=number)
            journal, _ = store.create(terms, None)
            journal.append(Started())
            journal.append(Answered("Hi."))
        harness.until(lambda journal=journal: has_ended(journal.entries))
    found = here.new_durations()
    assert found == there.new_durations()
    by_backend = {name: [run for backend, run in found if backend == name] for name, _ in found}
    assert {name: len(runs) for name, runs in by_backend.items()} == {"slow": MAX_RUNS, "fast": 1}
    numbers = [run.features.question_tokens for run in by_backend["slow"]]
    assert sorted(numbers[:80]) == list(range(40, 120))
    assert sorted(numbers[80:]) == list(range(120))


def test_connections_do_not_grow_with_runs(harness: Harness):
    """Each process has two."""
    before = len(harness.server.client().client_list())
    here, there = harness.make(retention_bytes=10**7), harness.make(retention_bytes=10**7)
    journals = [create(harness, here) for _ in range(300)]
    followed = [there.follow(run_terms(journal.entries).run_id) for journal in journals]
    for journal in followed:
        journal.subscribe(lambda: None)
    for journal in journals:
        journal.append(Answered("Hi."))
    harness.until(lambda: all(has_ended(journal.entries) for journal in followed))
    assert len(harness.server.client().client_list()) <= before + 4


@pytest.mark.parametrize("seed", range(5))
def test_a_subscriber_at_any_time_receives_each_fact_once(harness: Harness, seed: int):
    """Stored facts, then live ones, without gaps and duplicates, also when connections break."""
    rng = random.Random(seed)
    here, there = harness.make(retention_bytes=10**7), harness.make(retention_bytes=10**7)
    journal = create(harness, here)
    journal.append(Started())
    written = [AnswerDelta(f"{number} " * rng.choice((1, 1, 10, 6000))) for number in range(120)]
    subscribed: list[Journal] = []

    def subscribe_repeatedly() -> None:
        while not has_ended(journal.entries):
            followed = there.follow(run_terms(journal.entries).run_id)
            followed.subscribe(lambda: None)
            subscribed.append(followed)
            gevent.sleep(rng.random() * 0.05)

    reading = gevent.spawn(subscribe_repeatedly)
    for fact in written:
        journal.append(fact)
        if rng.random() < 0.3:
            gevent.sleep(rng.random() * 0.02)  # the interval between two chunks of a backend
        if rng.random() < 0.03:
            harness.server.client().client_kill_filter(_type=rng.choice(("normal", "pubsub")), skipme=True)
    journal.append(Answered("the end"))
    harness.until(lambda: has_ended(journal.entries), 20)
    reading.join(20)
    everything = [run_terms(journal.entries), Started(), *written, Answered("the end")]
    assert facts(journal) == everything
    for followed in subscribed:
        harness.until(lambda followed=followed: has_ended(followed.entries), 20)
        assert facts(followed) == everything
    assert facts(there.find(run_terms(journal.entries).run_id)) == everything


def test_refresh_reads_facts_whose_messages_were_missed(harness: Harness):
    """In several reads, each fact once; the journal stays tracked when its last listener leaves meanwhile."""
    here, there = harness.make(retention_bytes=10**7), harness.make(retention_bytes=10**7)
    journal = create(harness, here)
    followed = there.follow(run_terms(journal.entries).run_id)

    def listener() -> None:
        pass

    followed.subscribe(listener)
    known = there._subscriber._journals
    untracked = known.pop(run_terms(journal.entries).run_id)  # so that it receives no messages
    write(harness, journal, *(AnswerDelta(f"{number} ") for number in range(1200)))
    assert len(followed.entries) == 1
    known[untracked.run_id] = untracked

    def refresh_and_subscribe() -> None:
        followed.refresh()
        followed.subscribe(listener)

    greenlet = gevent.spawn(refresh_and_subscribe)
    gevent.sleep(0)  # refresh waits for Redis
    followed.unsubscribe(listener)
    greenlet.get()
    assert facts(followed) == facts(journal)
    write(harness, journal, Answered("the end"))
    harness.until(lambda: has_ended(followed.entries))
    assert facts(followed) == facts(journal)


def test_the_first_final_fact_wins_in_all_processes(harness: Harness):
    """A later writer receives the first one."""
    here, there = harness.make(retention_bytes=10**7), harness.make(retention_bytes=10**7)
    for _ in range(30):
        journal = create(harness, here)
        elsewhere = there.follow(run_terms(journal.entries).run_id)
        elsewhere.subscribe(lambda: None)
        pairs = [(journal, Answered("here")), (elsewhere, Failed("cancelled"))]
        random.shuffle(pairs)
        for each, fact in pairs:
            assert each.append(fact)
        harness.until(lambda each=(journal, elsewhere): all(has_ended(one.entries) for one in each))
        assert facts(journal) == facts(elsewhere) == facts(here.find(run_terms(journal.entries).run_id))
        assert len(journal.entries) == 2


def test_remote_subscribers_are_counted_until_they_leave(harness: Harness):
    """The process of a run checks this before it cancels the run."""
    here, there = harness.make(), harness.make()
    journal = create(harness, here)
    assert not journal.has_remote_subscribers()
    followed = there.follow(run_terms(journal.entries).run_id)

    def listener() -> None:
        pass

    followed.subscribe(listener)
    assert journal.has_remote_subscribers()
    followed.unsubscribe(listener)
    harness.until(lambda: not journal.has_remote_subscribers())


def test_a_followed_journal_without_listeners_is_untracked(harness: Harness):
    """As after a request that failed between the two steps."""
    here, there = harness.make(lease=0.6), harness.make(lease=0.6)
    journal = create(harness, here)
    there.follow(run_terms(journal.entries).run_id)
    assert journal.has_remote_subscribers()
    harness.until(lambda: not journal.has_remote_subscribers())


def test_many_and_large_facts_are_read_in_several_replies(harness: Harness):
    """Thousands of facts, and facts of a megabyte."""
    here, there = harness.make(retention_bytes=10**8), harness.make(retention_bytes=10**8)
    journal = create(harness, here)
    for number in range(9_000):
        journal.append(AnswerDelta(f"{number} "))
    journal.append(AnswerDelta("x" * 1_000_000))
    followed = there.follow(run_terms(journal.entries).run_id)
    followed.subscribe(lambda: None)
    journal.append(ReasoningDelta('"\n' * 500_000))
    journal.append(Answered('{"at":1}\n"语"👩‍👩‍👧\0\r' * 50_000))
    harness.until(lambda: has_ended(journal.entries), 30)
    harness.until(lambda: has_ended(followed.entries), 30)
    assert facts(followed) == facts(journal)
    assert facts(there.find(run_terms(journal.entries).run_id)) == facts(journal)


def test_an_idle_connection_that_was_closed_is_reopened_without_an_error(harness: Harness):
    """Redis and proxies close idle connections; the next command is sent over a new one."""
    store = harness.make()
    for _ in range(3):
        harness.server.client().client_kill_filter(_type="normal", skipme=True)
        create(harness, store)
        harness.server.client().client_kill_filter(_type="normal", skipme=True)
        assert list(store.unavailable_services()) == []


def test_scripts_are_loaded_again_after_a_flush(harness: Harness):
    """For single calls and for batches."""
    store = harness.make()
    for _ in range(3):
        harness.server.client().script_flush()
        journal = create(harness, store)
        harness.server.client().script_flush()
        write(harness, journal, Started(), Answered("Hi."))


def test_a_full_redis_rejects_new_runs_and_loses_no_facts(harness: Harness):
    """Pending facts are written once memory is available."""
    store, client = harness.make(), harness.server.client()
    journal = create(harness, store)
    try:
        client.config_set("maxmemory", 1)
        journal.append(Answered("Hi."))
        with pytest.raises(Unavailable):
            create(harness, store)
        assert not has_ended(journal.entries)
        assert store.unavailable_services() == ("redis",)
    finally:
        client.config_set("maxmemory", 0)
    harness.until(lambda: has_ended(journal.entries))
    create(harness, store)
    assert store.unavailable_services() == ()


def test_a_master_that_was_demoted_is_left(harness: Harness):
    """It keeps its connections, and its name leads to its successor (redis/redis-py #460, redis/go-redis #790)."""
    store, client = harness.make(), harness.server.client()
    journal = create(harness, store)
    [before] = {each["id"] for each in client.client_list() if each["cmd"].startswith("eval")}
    try:
        client.replicaof("127.0.0.1", "1")
        journal.append(Answered("Hi."))
        harness.until(lambda: before not in {each["id"] for each in client.client_list()})
        assert store.unavailable_services() == ("redis",)
    finally:
        client.replicaof("NO", "ONE")
    harness.until(lambda: has_ended(journal.entries))
    assert store.unavailable_services() == ()


def test_a_run_with_unknown_creation_outcome_ends(harness: Harness):
    """If Redis was suspended during its creation, a request that joins it later must not wait forever."""
    store = harness.make()
    key = IdempotencyKey("key", "digest")
    create(harness, store)
    harness.server.hold()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            create(harness, store, key=key)
        assert time.monotonic() - began < 2.0
    finally:
        harness.server.release()
    harness.until(lambda: not store.is_unavailable)
    client = harness.server.client()

    def orphans() -> set[str]:
        stored = [run_id for key in client.keys("persona_stream:process:*:runs") for run_id in client.smembers(key)]
        return set(stored) - {run_terms(journal.entries).run_id for journal in store._subscriber.local_runs}

    harness.until(lambda: not orphans())
    joined, is_new = store.create(accepted_run(harness), key)
    assert is_new or facts(joined)[-1] == Failed("lost")


def test_a_process_that_slept_beyond_the_retention_restores_no_runs(harness: Harness):
    """Its runs have ended and expired meanwhile."""
    store = harness.make()
    journal = create(harness, store)
    write(harness, journal, Started())
    run_id = run_terms(journal.entries).run_id
    store._lease.renewed_at -= 10.0  # as after a long sleep
    harness.server.client().flushall()
    journal.append(Answered("too late"))
    harness.until(lambda: has_ended(journal.entries))
    assert facts(journal)[-1] == Failed("lost")
    with pytest.raises((Gone, NotFound)):
        store.find(run_id)


def test_a_process_that_was_late_before_a_restart_of_redis_is_not_dead():
    """It has been silent for long, but could not have renewed its lease."""
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    harness = Harness(server)
    try:
        store, _ = harness.make(lease=6.0), harness.make(lease=6.0)
        journal = create(harness, store)
        write(harness, journal, Started())
        harness.until(lambda: server.client().zcard("persona_stream:processes") == 2)
        store._lease.stop()
        harness.until(lambda: server.client().zcard("persona_stream:suspects") == 1)
        server.kill()
        gevent.sleep(1.9)  # a renewal of the other process finds the old suspicion
        server.start()
        gevent.sleep(1.0)
        store._lease.start()
        gevent.sleep(3.0)
        assert not has_ended(journal.entries)
    finally:
        harness.close()
        server.close()


def test_a_failover_to_a_late_replica_restores_runs_and_ends_orphans(harness: Harness):
    """Running journals are restored; a run whose end was lost is ended."""
    here, there, client = harness.make(lease=0.9), harness.make(lease=0.9), harness.server.raw()
    journal, ended = create(harness, here), create(harness, here)
    keys = client.keys("*")
    before = {key: client.dump(key) for key in keys if not key.endswith((b"processes", b"pulse"))}
    followed = there.follow(run_terms(journal.entries).run_id)
    followed.subscribe(lambda: None)
    write(harness, journal, Started(), AnswerDelta("a"), AnswerDelta("b"))
    write(harness, ended, Started(), Answered("Hi."))
    for key, value in before.items():
        client.restore(key, 60_000, value, replace=True)
    client.client_kill_filter(_type="pubsub")
    journal.append(Answered("c"))
    harness.until(lambda: has_ended(journal.entries) and has_ended(followed.entries))
    everything = [run_terms(journal.entries), Started(), AnswerDelta("a"), AnswerDelta("b"), Answered("c")]
    for each in (journal, followed, there.find(run_terms(journal.entries).run_id)):
        assert facts(each) == everything
    harness.until(lambda: has_ended(there.find(run_terms(ended.entries).run_id).entries))
    assert facts(there.find(run_terms(ended.entries).run_id))[-1] == Failed("lost")


def test_untrusted_texts_are_safe(harness: Harness):
    """Owners, keys and run ids are untrusted input."""
    store = harness.make(retention_bytes=10**6)
    strange = ("", "a b", "a\0b", "{x}", "*", "x" * 5000, "名字", "a\r\nFLUSHALL\r\n", "'; return 1 --")
    for number, text in enumerate(strange):
        journal = create(harness, store, owner=f"{text}!", key=IdempotencyKey(text, "digest"))
        assert run_ids(store.list_for_owner(f"{text}!", None, 9)) == [run_terms(journal.entries).run_id]
        assert store.find_by_key(f"{text}!", IdempotencyKey(text, "digest")) is not None
        with pytest.raises(Conflict):
            store.find_by_key(f"{text}!", IdempotencyKey(text, f"another {number}"))
        for find in (store.find, store.follow):
            with pytest.raises(NotFound):
                find(text)
        store.list_for_owner("alice", text, 9)


def test_expired_runs_leave_no_keys(harness: Harness):
    """Only the heartbeats remain."""
    store = harness.make(lease=0.9)
    for number in range(20):
        journal = create(harness, store, key=IdempotencyKey(f"{number}", "digest"))
        write(harness, journal, Started(), Answered("Hi."))
    harness.wait(1.5)
    left = {key.rpartition(":")[0] or key for key in harness.server.client().keys("*")}
    assert left <= {"persona_stream", "persona_stream:owner"}


@pytest.mark.parametrize("url", ["http://x", "redis://host:port/0", "nonsense"])
def test_an_invalid_url_is_rejected_at_startup(url: str):
    """The error does not contain the URL, which may contain a password."""
    with pytest.raises(ConfigurationError, match=r"^redis_url is not a valid Redis URL"):
        RedisJournalStore(url, monotonic_wall_clock(), lease=3, retention=1, retention_bytes=1)


def test_password_and_tls_are_supported(tmp_path: Path):
    """A wrong password or an untrusted certificate makes the store unavailable."""
    certificate, key = tmp_path / "redis.pem", tmp_path / "redis.key"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(make, check=True, capture_output=True)
    tls = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
    server = RedisServer(
        *map(str, tls), "--tls-auth-clients", "no", "--requirepass", "geheim",
        scheme="rediss", credentials=":geheim@", query=f"?ssl_ca_certs={certificate}",
    )  # fmt: skip
    try:
        harness = Harness(server)
        write(harness, create(harness, harness.make()), Started(), Answered("Hi."))
        harness.close()
        for url in (server.url.replace("geheim", "falsch"), server.url.partition("?")[0]):
            store = RedisJournalStore(url, monotonic_wall_clock(), lease=3, retention=1, retention_bytes=1)
            with pytest.raises(Unavailable):
                create(harness, store)
            assert store.unavailable_services() == ("redis",)
            store.close()
    finally:
        server.close()


def test_the_number_of_processes_is_known(harness: Harness):
    """New and stopped processes are counted at the next renewal."""
    here = harness.make(lease=0.9)
    harness.until(lambda: here.process_count == 1)
    there = harness.make(lease=0.9)
    harness.until(lambda: here.process_count == there.process_count == 2)
    there.close()
    harness.until(lambda: here.process_count == 1)
