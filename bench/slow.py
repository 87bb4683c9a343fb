"""Slow readers: streams that wait, beside clients that read one byte per second of a long answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import Final

import msgspec

from bench import procfs
from bench.measurement import Measurement, measure
from bench.metrics import Verdict
from bench.report import Section, median_of
from bench.servers import MANY_RUNS, OURS, Running
from bench.workload import PATH, tokens, waiting

READERS: Final = 500
CHARACTERS: Final = 100_000
"""Length of their answers: more than the buffers of a socket hold."""
OTHERS: Final = waiting(1000, seconds=10.0, rate=500.0)
JITTER_GOAL: Final = 5.0  # ms
MEMORY_GOAL: Final = 512.0  # KiB for each reader
_RECEIVE_BUFFER_BYTES: Final = 4096
_DELIVERY_TIME: Final = 8.0  # seconds until the buffers are full; after 30 more the server would close the connections
_TOKENS: Final = tokens()

SERVER: Final = OURS._replace(
    name="slow", title="with slow readers", command=(*OURS.command, *MANY_RUNS, "--backend", "bench.backend:either")
)


class SlowReaders:
    """Clients that read one byte per second each.

    Attributes:
        bytes_each: memory of the server for each of them, before the others arrive.
        connected: number of those that are connected at the end.
    """

    def __init__(self) -> None:
        self.bytes_each = 0.0
        self.connected = 0
        self._sockets: list[socket.socket] = []
        self._stopping = threading.Event()

    @contextmanager
    def run(self, server: Running) -> Iterator[None]:
        """Connect, and read during the block."""
        idle = procfs.resident_bytes(server.pid)
        for number in range(READERS):
            self._connect(server.port, _TOKENS[number % len(_TOKENS)])
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._stopping.wait(_DELIVERY_TIME)
        self.bytes_each = (procfs.resident_bytes(server.pid) - idle) / READERS
        try:
            yield
        finally:
            self._stopping.set()
            reader.join()
            self.connected = len(self._sockets)
            for sock in self._sockets:
                sock.close()

    def _connect(self, port: int, token: str) -> None:
        body = msgspec.json.encode({"username": "bench", "message": f"long {CHARACTERS}", "chunking": "characters"})
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        sock.connect(("127.0.0.1", port))
        sock.sendall(
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Authorization: Bearer %b\r\n\r\n%b" % (PATH.encode(), len(body), token.encode(), body)
        )
        sock.setblocking(False)
        self._sockets.append(sock)

    def _read(self) -> None:
        while not self._stopping.wait(1.0):
            for sock in tuple(self._sockets):
                try:
                    is_open = sock.recv(1) != b""
                except BlockingIOError:
                    continue
                except OSError:
                    is_open = False
                if not is_open:
                    self._sockets.remove(sock)
                    with suppress(OSError):
                        sock.close()


def _jitter(measured: list[Measurement]) -> float:
    return 1000 * median(one.result.jitter.p99 for one in measured)


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    alone = []
    beside = []
    all_readers = []
    for _ in range(rounds):
        readers = SlowReaders()
        alone.append(measure(SERVER, OTHERS))
        beside.append(measure(SERVER, OTHERS, beside=readers.run))
        all_readers.append(readers)
        print(
            f"  slow readers: jitter p99 {_jitter(alone[-1:]):.1f} ms without, {_jitter(beside[-1:]):.1f} ms with them,"
            f" {readers.bytes_each / 1024:.0f} KiB each, {readers.connected} connected",
            flush=True,
        )
    lost = sum(one.result.lost for one in (*alone, *beside))
    more = _jitter(beside) - _jitter(alone)
    kib = max(readers.bytes_each for readers in all_readers) / 1024
    connected = min(readers.connected for readers in all_readers)
    return Section(
        "Slow readers",
        f"{READERS} clients receive an answer of {CHARACTERS:,} characters and read one byte per second. Beside them: "
        f"{OTHERS.load}",
        "",
        Verdict(lost == 0, f"none of these streams lost ({lost})"),
        Verdict(
            more <= JITTER_GOAL,
            f"their progress jitter p99 grows by at most {JITTER_GOAL:g} ms:"
            f" {more:.1f} ms (from {_jitter(alone):.1f} ms, {median_of(rounds)})",
        ),
        Verdict(
            kib <= MEMORY_GOAL, f"at most {MEMORY_GOAL:g} KiB for each slow reader, with its answer: {kib:.0f} KiB"
        ),
        f"- slow readers still connected at the end: {connected}",
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
