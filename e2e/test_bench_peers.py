"""The peers of the benchmark in Node and Go do the same work: equal events at an equal pace, and equal refusals."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jwt
import msgspec
import pytest

from bench import client, procfs, servers
from bench.results import check, evaluate
from bench.servers import Running, started
from bench.transcript import Transcript
from bench.workload import PATH, SECRET, Scenario, tokens

WAITING = Scenario(name="waiting", streams=3, rate=0.0, seconds=4.5)
BODY = {"username": "bench", "message": "0"}
VARYING = ("run_id", "conversation_id", "events_url")


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Node's peer, and Go's, which is built here."""
    for program, package in (("node", "npm"), ("go", "golang-go")):
        if shutil.which(program) is None and os.environ.get("CI") != "true":
            pytest.skip(f"needs {program}: apt-get install {package}")
    program = str(tmp_path_factory.mktemp("go") / "go_peer")
    subprocess.run(["go", "build", "-o", program, "bench/peers/go_peer.go"], cwd=servers.ROOT, check=True)
    assert procfs.go_version(program).startswith("Go 1.")
    go = servers.GO._replace(command=(program, *servers.GO.command[1:]))
    _, core = procfs.cores()
    with started(servers.NODE, core) as first, started(go, core) as second:
        yield [first, second]


def _transcripts(peer: Running) -> list[Transcript]:
    streams, _, _ = client.load(peer.port, WAITING)
    return [Transcript(stream.asked, stream.reads, stream.why) for stream in streams]


def _ids(transcript: Transcript) -> list[str]:
    """Return the positions in the event ids, without the run id."""
    raw = b"".join(data for _, data in transcript.reads)
    return [line.rpartition(b"/")[2].decode() for line in raw.split(b"\n") if line.startswith(b"id: ")]


def _fixed(body: dict[str, Any]) -> dict[str, Any]:
    """Return an event without its random values."""
    return {**body, **{name: len(body[name]) for name in VARYING if name in body}}


def test_their_events_are_equal(peers: list[Running]) -> None:
    """Positions, fields, texts and rounded times; each stream passes the check of the benchmark."""
    found = []
    for peer in peers:
        transcripts = _transcripts(peer)
        assert evaluate(transcripts, WAITING, None, 0.0).errors == {}
        events = list(transcripts[0].events())
        check(events, transcripts[0].asked, WAITING)
        found.append((_ids(transcripts[0]), [_fixed(event.body) for event in events]))
    node, go = found
    assert [event["status"] for event in go[1]].count("processing") == 3
    for timed in ("elapsed_time", "total_time", "total_processing_time"):
        for one, other in zip(node[1], go[1], strict=True):
            assert one.pop(timed, 0.0) == pytest.approx(other.pop(timed, 0.0), abs=0.5)
    for one, other in zip(node[1], go[1], strict=True):
        if one["status"] == "processing_complete":  # its text has the time
            assert one.pop("message").partition("(")[0] == other.pop("message").partition("(")[0]
    assert go == node


def _status(peer: Running, body: bytes, token: str, *, path: str = PATH) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", peer.port, timeout=30)) as connection:
        connection.request("POST", path, body, {"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_they_refuse_the_same_requests(peers: list[Running]) -> None:
    """Tokens and bodies are checked before the stream begins."""
    valid = tokens()[0]
    now = int(time.time())
    claims = {"sub": "bench-1", "exp": now + 60}
    encode = msgspec.json.encode
    requests = {
        "valid": (encode(BODY), valid),
        "no token": (encode(BODY), ""),
        "no JWT": (encode(BODY), "a.b"),
        "another secret": (encode(BODY), jwt.encode(claims, "x" * 32, algorithm="HS256")),
        "no signature": (encode(BODY), jwt.encode(claims, "", algorithm="none")),
        "without expiry": (encode(BODY), jwt.encode({"sub": "bench-1"}, SECRET, algorithm="HS256")),
        "without subject": (encode(BODY), jwt.encode({"exp": now + 60}, SECRET, algorithm="HS256")),
        "expired": (encode(BODY), jwt.encode({**claims, "exp": now - 60}, SECRET, algorithm="HS256")),
        "no JSON": (b"{", valid),
        "no object": (b"[]", valid),
        "null": (b"null", valid),
        "no message": (encode({"username": "bench"}), valid),
        "a number": (encode({**BODY, "prompt": 1}), valid),
        "null field": (encode({**BODY, "prompt": None}), valid),
        "a long name": (encode({**BODY, "username": "x" * 65}), valid),
        "a name of 64 characters": (encode({**BODY, "username": "字" * 64}), valid),
    }
    node, go = ({name: _status(peer, body, token) for name, (body, token) in requests.items()} for peer in peers)
    assert go == node
    accepted = {name for name, status in go.items() if status == 200}
    assert accepted == {"valid", "null field", "a name of 64 characters"}
    assert [_status(peer, encode(BODY), valid, path="/other") for peer in peers] == [404, 404]
