"""Journals in Redis keep the contract, and more: run in a process that gevent has patched."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import redis

from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.facts import Answered, Failed, Started, TextDelta, has_ended
from persona_stream.errors import ConfigurationError, Conflict, Gone, NotFound, Unavailable
from persona_stream.journals.base import IdempotencyKey, Journal, run_terms
from persona_stream.journals.redis.store import RedisJournalStore
from tests.journals.contract import *  # noqa: F403 - the tests of the contract
from tests.journals.contract import begin, facts, names, order, write
from tests.redis_server import RedisServer

_UNIT = 1.5


class World:
    """Have a Redis, and processes that share it."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.now = server, monotonic_wall_clock()
        self._made: list[RedisJournalStore] = []

    def make(self, retention_bytes: int = 10_000, lease: float = 3.0) -> RedisJournalStore:
        self._made.append(
            RedisJournalStore(self.server.url, self.now, lease=lease, retention=_UNIT, retention_bytes=retention_bytes)
        )
        return self._made[-1]

    def wait(self, units: float) -> None:
        gevent.sleep(units * _UNIT)  # Redis forgets by its own clock, which cannot be set

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        with gevent.Timeout(seconds):
            while not condition():
                gevent.sleep(0.005)

    def close(self) -> None:
        for journals in self._made:
            journals.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    server.client().flushall()
    world = World(server)
    yield world
    world.close()


def spy(server: RedisServer, seen: list[str]) -> gevent.Greenlet:
    """Note the name of every command that a client sends; what scripts do inside Redis counts once, as the script."""

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


def test_a_run_costs_few_commands(world: World):
    """Five at the most from start to end, two for each process that reads it, one in a while for the lease."""
    here, there = world.make(retention_bytes=10**6, lease=60.0), world.make(retention_bytes=10**6, lease=60.0)
    for journals in (here, there):  # so that Redis knows the scripts
        write(world, begin(world, journals), Started(), Answered("Hi."))
        world.until(lambda journals=journals: journals.unavailable_services() == ())
    seen: list[str] = []
    watching = spy(world.server, seen)
    journal = begin(world, here, claim=IdempotencyKey("key", "digest"))
    write(world, journal, Started())
    write(world, journal, Answered("Hi."))
    run = [name for name in seen[1:] if name != "MONITOR"]
    assert run.count("EVALSHA") == len(run) <= 4  # one of them may be a lease's
    del seen[1:]
    journal = begin(world, here)
    write(world, journal, Started())
    del seen[1:]
    read = there.follow(run_terms(journal).run_id)
    read.subscribe(lambda: None)
    write(world, journal, Answered("Hi."))
    world.until(lambda: has_ended(read.entries))
    assert [name for name in seen[1:] if name != "EVALSHA"] == ["SUBSCRIBE", "XRANGE"]
    watching.kill()


def test_connections_do_not_grow_with_runs(world: World):
    """Two for each process, however much is run and read."""
    before = len(world.server.client().client_list())
    here, there = world.make(retention_bytes=10**7), world.make(retention_bytes=10**7)
    journals = [begin(world, here) for _ in range(300)]
    followed = [there.follow(run_terms(journal).run_id) for journal in journals]
    for journal in followed:
        journal.subscribe(lambda: None)
    for journal in journals:
        journal.append(Answered("Hi."))
    world.until(lambda: all(has_ended(journal.entries) for journal in followed))
    assert len(world.server.client().client_list()) <= before + 4


@pytest.mark.parametrize("seed", range(5))
def test_who_comes_at_any_moment_sees_every_fact_once(world: World, seed: int):
    """History, then live, with no gap and no double; also when connections break meanwhile."""
    dice = random.Random(seed)
    here, there = world.make(retention_bytes=10**7), world.make(retention_bytes=10**7)
    journal = begin(world, here)
    journal.append(Started())
    written = [TextDelta(f"{number} " * dice.choice((1, 1, 10, 6000))) for number in range(120)]
    readers: list[Journal] = []

    def read_again_and_again() -> None:
        while not has_ended(journal.entries):
            followed = there.follow(run_terms(journal).run_id)
            followed.subscribe(lambda: None)
            readers.append(followed)
            gevent.sleep(dice.random() * 0.05)  # the next reader comes when it likes

    reading = gevent.spawn(read_again_and_again)
    for fact in written:
        journal.append(fact)
        if dice.random() < 0.3:
            gevent.sleep(dice.random() * 0.02)  # as backends do, between two pieces
        if dice.random() < 0.03:
            world.server.client().client_kill_filter(_type=dice.choice(("normal", "pubsub")), skipme=True)
    journal.append(Answered("the end"))
    world.until(lambda: has_ended(journal.entries), 20)
    reading.join(20)
    everything = [run_terms(journal), Started(), *written, Answered("the end")]
    assert facts(journal) == everything
    for followed in readers:
        world.until(lambda followed=followed: has_ended(followed.entries), 20)
        assert facts(followed) == everything
    assert facts(there.find(run_terms(journal).run_id)) == everything


def test_what_was_not_heard_of_is_read_when_somebody_knows_of_it(world: World):
    """In portions, and once; and who asks may follow on, also when the last other reader leaves meanwhile."""
    here, there = world.make(retention_bytes=10**7), world.make(retention_bytes=10**7)
    journal = begin(world, here)
    followed = there.follow(run_terms(journal).run_id)

    def hear() -> None:
        pass

    followed.subscribe(hear)
    known = there._following._journals
    unheard = known.pop(run_terms(journal).run_id)  # so that nothing of what is said reaches it
    write(world, journal, *(TextDelta(f"{number} ") for number in range(1200)))
    assert len(followed.entries) == 1
    known[unheard.run_id] = unheard

    def come() -> None:
        followed.refresh()
        followed.subscribe(hear)

    coming = gevent.spawn(come)
    gevent.sleep(0)  # it has asked
    followed.unsubscribe(hear)
    coming.get()
    assert facts(followed) == facts(journal)
    write(world, journal, Answered("the end"))
    world.until(lambda: has_ended(followed.entries))
    assert facts(followed) == facts(journal)


def test_of_two_endings_the_first_wins_everywhere(world: World):
    """Whoever else writes learns what it was."""
    here, there = world.make(retention_bytes=10**7), world.make(retention_bytes=10**7)
    for _ in range(30):
        journal = begin(world, here)
        elsewhere = there.follow(run_terms(journal).run_id)
        elsewhere.subscribe(lambda: None)
        pairs = [(journal, Answered("here")), (elsewhere, Failed("cancelled"))]
        random.shuffle(pairs)
        for each, fact in pairs:
            assert each.append(fact)
        world.until(lambda each=(journal, elsewhere): all(has_ended(one.entries) for one in each))
        assert facts(journal) == facts(elsewhere) == facts(here.find(run_terms(journal).run_id))
        assert len(journal.entries) == 2


def test_who_follows_is_seen_and_who_left_is_not(world: World):
    """The process that runs a query asks before it gives it up."""
    here, there = world.make(), world.make()
    journal = begin(world, here)
    assert not journal.has_remote_subscribers()
    followed = there.follow(run_terms(journal).run_id)

    def hear() -> None:
        pass

    followed.subscribe(hear)
    assert journal.has_remote_subscribers()
    followed.unsubscribe(hear)
    world.until(lambda: not journal.has_remote_subscribers())


def test_who_follows_and_never_listens_is_forgotten(world: World):
    """As when the request that followed was refused after all."""
    here, there = world.make(lease=0.6), world.make(lease=0.6)
    journal = begin(world, here)
    there.follow(run_terms(journal).run_id)
    assert journal.has_remote_subscribers()
    world.until(lambda: not journal.has_remote_subscribers())


def test_many_facts_are_read_in_portions(world: World):
    """Thousands, and large ones."""
    here, there = world.make(retention_bytes=10**8), world.make(retention_bytes=10**8)
    journal = begin(world, here)
    for number in range(9_000):
        journal.append(TextDelta(f"{number} "))
    journal.append(TextDelta("x" * 1_000_000))
    followed = there.follow(run_terms(journal).run_id)
    followed.subscribe(lambda: None)
    journal.append(Answered("y" * 1_000_000))
    world.until(lambda: has_ended(journal.entries), 30)
    world.until(lambda: has_ended(followed.entries), 30)
    assert facts(followed) == facts(journal)
    assert facts(there.find(run_terms(journal).run_id)) == facts(journal)


def test_a_connection_that_was_closed_while_idle_is_nobodys_failure(world: World):
    """Redis and what stands before it close idle connections: the next one who asks does not notice."""
    journals = world.make()
    for _ in range(3):
        world.server.client().client_kill_filter(_type="normal", skipme=True)
        begin(world, journals)
        world.server.client().client_kill_filter(_type="normal", skipme=True)
        assert list(journals.unavailable_services()) == []


def test_redis_may_forget_its_scripts(world: World):
    """It learns them again."""
    journals = world.make()
    for _ in range(3):
        world.server.client().script_flush()
        journal = begin(world, journals)
        world.server.client().script_flush()
        write(world, journal, Started(), Answered("Hi."))


def test_a_full_redis_refuses_and_loses_nothing(world: World):
    """What runs waits until there is room; what would start is told to come again."""
    journals, client = world.make(), world.server.client()
    journal = begin(world, journals)
    try:
        client.config_set("maxmemory", 1)
        journal.append(Answered("Hi."))
        with pytest.raises(Unavailable):
            begin(world, journals)
        assert not has_ended(journal.entries)
    finally:
        client.config_set("maxmemory", 0)
    world.until(lambda: has_ended(journal.entries))
    begin(world, journals)


def test_a_start_that_nobody_knows_of_ends(world: World):
    """Redis hung while it was begun: whoever joins it later must not wait for ever."""
    journals, claim = world.make(), IdempotencyKey("key", "digest")
    begin(world, journals)
    world.server.hold()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            begin(world, journals, claim=claim)
        assert time.monotonic() - began < 2.0
    finally:
        world.server.release()
    world.until(lambda: not journals.is_unavailable)
    client = world.server.client()

    def others() -> set[str]:
        running = [name for key in client.keys("persona_stream:process:*:runs") for name in client.smembers(key)]
        return set(running) - {run_terms(journal).run_id for journal in journals._following.local_runs}

    world.until(lambda: not others())
    joined, is_new = journals.create(order(world), claim)
    assert is_new or facts(joined)[-1] == Failed("lost")


def test_who_was_away_longer_than_runs_are_kept_brings_nothing_back(world: World):
    """Its runs were ended, kept their time, and are gone: they must not rise again."""
    journals = world.make()
    journal = begin(world, journals)
    write(world, journal, Started())
    run_id = run_terms(journal).run_id
    journals._lease.renewed_at -= 10.0  # as after a long sleep
    world.server.client().flushall()
    journal.append(Answered("too late"))
    world.until(lambda: has_ended(journal.entries))
    assert facts(journal)[-1] == Failed("lost")
    with pytest.raises((Gone, NotFound)):
        journals.find(run_id)


def test_a_redis_that_comes_back_as_it_was_before_is_told_what_it_lacks(world: World):
    """As after a failover to a replica that was late: what runs goes on, and what had ended is not left to hang."""
    here, there, client = world.make(lease=0.9), world.make(lease=0.9), world.server.raw()
    journal, ended = begin(world, here), begin(world, here)
    keys = client.keys("*")
    before = {key: client.dump(key) for key in keys if not key.endswith((b"processes", b"pulse"))}
    followed = there.follow(run_terms(journal).run_id)
    followed.subscribe(lambda: None)
    write(world, journal, Started(), TextDelta("a"), TextDelta("b"))
    write(world, ended, Started(), Answered("Hi."))
    for key, value in before.items():
        client.restore(key, 60_000, value, replace=True)
    client.client_kill_filter(_type="pubsub")
    journal.append(Answered("c"))
    world.until(lambda: has_ended(journal.entries) and has_ended(followed.entries))
    everything = [run_terms(journal), Started(), TextDelta("a"), TextDelta("b"), Answered("c")]
    for each in (journal, followed, there.find(run_terms(journal).run_id)):
        assert facts(each) == everything
    world.until(lambda: has_ended(there.find(run_terms(ended).run_id).entries))
    assert facts(there.find(run_terms(ended).run_id))[-1] == Failed("lost")


def test_strange_names_do_no_harm(world: World):
    """Owners, keys and run ids are strangers' texts."""
    journals = world.make(retention_bytes=10**6)
    strange = ("", "a b", "a\0b", "{x}", "*", "x" * 5000, "名字", "a\r\nFLUSHALL\r\n", "'; return 1 --")
    for number, text in enumerate(strange):
        journal = begin(world, journals, owner=f"{text}!", claim=IdempotencyKey(text, "digest"))
        assert names(journals.list_for_owner(f"{text}!", None, 9)) == [run_terms(journal).run_id]
        assert journals.find_by_key(f"{text}!", IdempotencyKey(text, "digest")) is not None
        with pytest.raises(Conflict):
            journals.find_by_key(f"{text}!", IdempotencyKey(text, f"another {number}"))
        for find in (journals.find, journals.follow):
            with pytest.raises(NotFound):
                find(text)
        journals.list_for_owner("alice", text, 9)


def test_what_ended_and_expired_leaves_no_key_behind(world: World):
    """All but the word that somebody is alive goes by itself."""
    journals = world.make(lease=0.9)
    for number in range(20):
        journal = begin(world, journals, claim=IdempotencyKey(f"{number}", "digest"))
        write(world, journal, Started(), Answered("Hi."))
    world.wait(1.5)
    left = {key.rpartition(":")[0] or key for key in world.server.client().keys("*")}
    assert left <= {"persona_stream", "persona_stream:owner"}


@pytest.mark.parametrize("url", ["http://x", "redis://host:port/0", "nonsense"])
def test_an_address_that_is_none_is_said_at_the_start(url: str):
    """In one sentence, without what may be a password."""
    with pytest.raises(ConfigurationError, match=r"^redis_url is no address"):
        RedisJournalStore(url, monotonic_wall_clock(), lease=3, retention=1, retention_bytes=1)


def test_with_a_password_and_tls(tmp_path: Path):
    """As on a network that is not one's own; a wrong password, or a certificate of somebody else, opens nothing."""
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
        world = World(server)
        write(world, begin(world, world.make()), Started(), Answered("Hi."))
        world.close()
        for url in (server.url.replace("geheim", "falsch"), server.url.partition("?")[0]):
            journals = RedisJournalStore(url, monotonic_wall_clock(), lease=3, retention=1, retention_bytes=1)
            with pytest.raises(Unavailable):
                begin(world, journals)
            assert journals.unavailable_services() == ("redis",)
            journals.close()
    finally:
        server.close()


def test_each_knows_how_many_they_are(world: World):
    """Who comes, and who leaves or dies, is reckoned with at the next renewal."""
    here = world.make(lease=0.9)
    world.until(lambda: here.process_count == 1)
    there = world.make(lease=0.9)
    world.until(lambda: here.process_count == there.process_count == 2)
    there.close()
    world.until(lambda: here.process_count == 1)
