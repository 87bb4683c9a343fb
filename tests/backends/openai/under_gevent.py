"""What must hold under gevent's patching, as a program: ``python under_gevent.py SCENARIO`` says ok, or fails.

The server side runs here too, in greenlets, on real sockets.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402 - nothing may be imported before the patching
import json  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.server import StreamServer  # noqa: E402
from gevent.threadpool import ThreadPool  # noqa: E402

from persona_stream.backends import Backend  # noqa: E402
from persona_stream.backends.openai import openai_backend  # noqa: E402
from persona_stream.query import Query  # noqa: E402

BODY = json.dumps({"choices": [{"message": {"content": "Forty-two."}}]}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
BEGINNINGS = (
    b"",
    b"HTTP/1.1 200 OK\r\nContent-",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n{",
    WHOLE[:-5],
)
QUERY = Query(username="ada", message="How many?")


def serve(answer: Callable[[Any], None]) -> Backend:
    """Answer each request on each connection with this, and give a backend that asks there."""

    def handle(connection: Any, _address: object) -> None:
        with connection.makefile("rb") as stream:
            while (line := stream.readline()) and line.strip():
                length = 0
                while header := stream.readline().strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                stream.read(length)
                answer(connection)

    server = StreamServer(("127.0.0.1", 0), handle, backlog=1024)
    server.start()
    return openai_backend(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="sk-1", model="m1")


def killed_after(before: bytes) -> None:
    """Kill a query that waits after these bytes of the reply: the provider sees the end of the connection at once."""
    asked, ended = Event(), Event()

    def stall(connection: Any) -> None:
        connection.sendall(before)
        asked.set()
        assert connection.recv(1) == b""
        ended.set()

    backend = serve(stall)
    # The connection must not owe its end to the garbage collector.
    gc.disable()
    query = gevent.spawn(backend.process_query, QUERY)
    assert asked.wait(10), before
    gevent.sleep(0.05)
    query.kill()
    assert ended.wait(10), before
    assert isinstance(query.value, gevent.GreenletExit)


def killed() -> None:
    """Kill at every stage of a reply."""
    for before in BEGINNINGS:
        killed_after(before)


def killed_while_pausing() -> None:
    """Kill a query that waits for its next try: it ends, and there is no next try."""
    tries = []

    def busy(connection: Any) -> None:
        tries.append(1)
        connection.sendall(b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")

    backend = serve(busy)
    query = gevent.spawn(backend.process_query, QUERY)
    while not tries:
        gevent.sleep(0.01)
    gevent.sleep(0.1)
    query.kill()
    assert isinstance(query.value, gevent.GreenletExit)
    gevent.sleep(1.6)
    assert len(tries) == 1


def many() -> None:
    """Ask 300 questions at once: all are on their way before the first is answered."""
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
    """Ask from gevent's native threads and from greenlets in turn: only the greenlets' connection is kept."""
    connections = set()

    def slowly(connection: Any) -> None:
        connections.add(connection)
        gevent.sleep(0.05)
        connection.sendall(WHOLE)

    backend = serve(slowly)
    pool = ThreadPool(6)
    for _ in range(5):
        results = [pool.spawn(backend.process_query, QUERY) for _ in range(6)]
        results.append(gevent.spawn(backend.process_query, QUERY))
        assert [result.get(timeout=20).text for result in results] == ["Forty-two."] * 7
    assert len(connections) == 5 * 6 + 1


SCENARIOS: dict[str, Callable[[], None]] = {
    "killed": killed,
    "killed-while-pausing": killed_while_pausing,
    "many": many,
    "threads": threads,
}

if __name__ == "__main__":
    logging.disable()
    with gevent.Timeout(90):
        SCENARIOS[sys.argv[1]]()
    print("ok")
