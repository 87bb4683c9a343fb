"""Scenarios under gevent's patching, as a program: ``python under_gevent.py SCENARIO...`` prints those that pass.

The provider runs in the same process, in greenlets, on real sockets.
"""

from gevent import monkey

monkey.patch_all()

import gc
import json
import logging
import os
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import gevent
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gevent.event import Event
from gevent.server import StreamServer
from gevent.threadpool import ThreadPool

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.backend import openai_backend
from persona_stream.core.query import Query
from persona_stream.errors import BackendError
from tests.fakes import query_with

BODY = json.dumps({"choices": [{"message": {"content": "Forty-two."}}]}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
BEGINNINGS = (
    b"",
    b"HTTP/1.1 200 OK\r\nContent-",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n{",
    WHOLE[:-5],
)
QUERY = Query(username="ada", message="How many?", locale="en")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def serve(answer: Callable[[Any], None], tls: Path | None = None, **settings: Any) -> Backend:
    """Handle each request with ``answer``, and return a backend that sends its requests there."""

    def handle(connection: Any, _address: object) -> None:
        with connection.makefile("rb") as stream:
            while (line := stream.readline()) and line.strip():
                length = 0
                while header := stream.readline().strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                stream.read(length)
                answer(connection)

    secured = {}
    if tls is not None:
        secured["ssl_context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secured["ssl_context"].load_cert_chain(tls)
    server = StreamServer(("127.0.0.1", 0), handle, backlog=1024, **secured)
    server.start()
    url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/v1"
    return openai_backend(base_url=url, api_key="sk-1", model="m1", **settings)


def say(connection: Any, *events: object) -> None:
    """Send events of a stream."""
    body = b"".join(
        event if isinstance(event, bytes) else b"data: %s\n\n" % json.dumps(event).encode() for event in events
    )
    connection.sendall(b"%x\r\n%s\r\n" % (len(body), body))


def word(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def killed_after(before: bytes) -> None:
    """Kill a query that waits after the given bytes of the response: the connection closes at once."""
    asked, ended = Event(), Event()

    def stall(connection: Any) -> None:
        connection.sendall(before)
        asked.set()
        assert connection.recv(1) == b""
        ended.set()

    backend = serve(stall)
    # The garbage collector must not be the one that closes the connection.
    gc.disable()
    query = gevent.spawn(backend.process_query, QUERY)
    assert asked.wait(10), before
    gevent.sleep(0.05)  # until it waits for more
    query.kill()
    assert ended.wait(10), before
    assert isinstance(query.value, gevent.GreenletExit)


def killed() -> None:
    """Kill at every stage of a response."""
    for before in BEGINNINGS:
        killed_after(before)


def killed_while_pausing() -> None:
    """Kill a query during its backoff: no further attempt is made."""
    tries = []

    def busy(connection: Any) -> None:
        tries.append(1)
        connection.sendall(b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")

    backend = serve(busy)
    query = gevent.spawn(backend.process_query, QUERY)
    while not tries:
        gevent.sleep(0.01)  # between two checks
    gevent.sleep(0.1)  # until it waits for the retry
    query.kill()
    assert isinstance(query.value, gevent.GreenletExit)
    gevent.sleep(1.6)  # longer than the backoff
    assert len(tries) == 1


def many() -> None:
    """Run 300 queries at once: all are sent before the first is answered."""
    waiting, all_there = [], Event()

    def together(connection: Any) -> None:
        waiting.append(1)
        if len(waiting) == 300:
            all_there.set()
        assert all_there.wait(60)
        connection.sendall(WHOLE)

    backend = serve(together)
    queries = [gevent.spawn(backend.process_query, QUERY) for _ in range(300)]
    gevent.joinall(queries, raise_error=True)
    assert {query.value.text for query in queries} == {"Forty-two."}


def threads() -> None:
    """Query from gevent's native threads and from greenlets: only the greenlets' connection is kept."""
    connections = set()

    def slowly(connection: Any) -> None:
        connections.add(connection)
        gevent.sleep(0.05)  # so that all ask before the first is answered
        connection.sendall(WHOLE)

    backend = serve(slowly)
    pool = ThreadPool(6)
    for _ in range(5):
        results = [pool.spawn(backend.process_query, QUERY) for _ in range(6)]
        results.append(gevent.spawn(backend.process_query, QUERY))
        assert [result.get(timeout=20).text for result in results] == ["Forty-two."] * 7
    assert len(connections) == 5 * 6 + 1


def stream_killed() -> None:
    """Kill a query in the middle of a stream: the connection closes at once, and no timer is left."""
    heard, ended = Event(), Event()

    def begin(connection: Any) -> None:
        connection.sendall(HEAD)
        say(connection, word("Forty-"))
        assert connection.recv(1) == b""
        ended.set()

    backend = serve(begin, stream=True)
    gc.disable()
    query = gevent.spawn(backend.process_query, query_with(QUERY, on_text=lambda text: heard.set()))
    assert heard.wait(10)
    assert watchers() == 1
    query.kill()
    assert ended.wait(10)
    assert isinstance(query.value, gevent.GreenletExit)
    assert watchers() == 0


def stream_silent(tls: Path | None = None) -> None:
    """Send one delta, and then keep-alive comments only: the idle timeout closes the connection."""
    ended = Event()

    def begin(connection: Any) -> None:
        connection.sendall(HEAD)
        say(connection, word("Forty-"))
        with suppress(OSError):  # TLS may end without a close_notify
            while True:
                say(connection, b": keep-alive\n\n")
                gevent.sleep(0.01)  # as a keep-alive does, only quicker
        ended.set()

    texts: list[str] = []
    backend = serve(begin, tls, stream=True, idle_timeout=0.2)
    assert "timed out" in error_of(backend, query_with(QUERY, on_text=texts.append))
    assert texts == ["Forty-"]
    assert ended.wait(10)
    assert watchers() == 0


def stream_mute(tls: Path | None = None) -> None:
    """Send one delta, and then nothing: the idle timeout closes the connection."""
    ended = Event()

    def begin(connection: Any) -> None:
        connection.sendall(HEAD)
        say(connection, word("Forty-"))
        with suppress(OSError):  # a reset is an end too
            assert connection.recv(1) == b""
        ended.set()

    backend = serve(begin, tls, stream=True, idle_timeout=0.2)
    assert "timed out" in error_of(backend, QUERY)
    assert ended.wait(10)
    assert watchers() == 0


def over_tls() -> None:
    """Repeat both idle timeouts over TLS, where a read is aborted in another way."""
    with tempfile.TemporaryDirectory() as folder:
        tls = certificate(Path(folder))
        os.environ["REQUESTS_CA_BUNDLE"] = str(tls)
        stream_silent(tls)
        stream_mute(tls)


def streams() -> None:
    """Read 100 streams at once, from greenlets and native threads: each query gets its own text, in order."""
    waiting, all_there = [], Event()

    def begin(connection: Any) -> None:
        connection.sendall(HEAD)
        say(connection, word("Forty-"))
        waiting.append(1)
        if len(waiting) == 100:
            all_there.set()
        assert all_there.wait(60)
        say(connection, word("two.", "stop"), b"data: [DONE]\n\n")
        connection.sendall(b"0\r\n\r\n")

    backend = serve(begin, stream=True)
    pool = ThreadPool(20)
    texts: list[list[str]] = [[] for _ in range(100)]
    queries = [query_with(QUERY, on_text=said.append) for said in texts]
    results = [pool.spawn(backend.process_query, query) for query in queries[:20]]
    greenlets = [gevent.spawn(backend.process_query, query) for query in queries[20:]]
    gevent.joinall(greenlets, raise_error=True)
    for result in results:
        result.get(timeout=20)
    # Deltas that arrive together are forwarded together.
    assert ["".join(said) for said in texts] == ["Forty-two."] * 100
    assert watchers() == 0


def error_of(backend: Backend, query: Query) -> str:
    """Return the client's error text for a query."""
    try:
        raise AssertionError(backend.process_query(query))
    except BackendError as error:
        return str(error)


def watchers() -> int:
    """Return the number of running idle timers, after those that were stopped have ended."""
    gevent.sleep(0.05)  # until they have ended
    return sum(thread.name == "idle-timeout" for thread in threading.enumerate())


def certificate(folder: Path) -> Path:
    """Create a self-signed certificate for this machine; return the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return file


SCENARIOS: dict[str, Callable[[], None]] = {
    "killed": killed,
    "killed-while-pausing": killed_while_pausing,
    "many": many,
    "threads": threads,
    "stream-killed": stream_killed,
    "stream-silent": stream_silent,
    "stream-mute": stream_mute,
    "over-tls": over_tls,
    "streams": streams,
}

if __name__ == "__main__":
    logging.disable()
    for name in sys.argv[1:]:
        with gevent.Timeout(90):
            SCENARIOS[name]()
        print(name, flush=True)
