"""Streams beside a faulty query, measured in a process of their own: their progress, and the server's health.

Run as ``python -m tests.faults.neighbours PORT TOKEN SECONDS``; it prints ``ready`` when all streams have begun, and at
the end a ``Neighbours`` as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import msgspec

from tests.server_process import ROOT, ServerProcess, token

STREAMS = 20
INTERVAL = 2.0  # seconds between two progress events
HEALTH_INTERVAL = 0.05  # seconds
WAIT = 60  # seconds that each query takes


class Neighbours(msgspec.Struct):
    """Result.

    Attributes:
        late: the delay of each progress event, in seconds.
        health: the duration of each request to ``/healthz``, in seconds.
        broken: the streams that ended.
    """

    late: list[float]
    health: list[float]
    broken: int

    @property
    def late_p99(self) -> float:
        """Delay of 99 % of the progress events, in seconds."""
        return sorted(self.late)[ceil(0.99 * len(self.late)) - 1]


async def _follow(port: int, token: str, wait: float, begun: asyncio.Queue[None]) -> list[tuple[float, int]]:
    """Return the moment and the number of each progress event, until this task is cancelled or the stream ends."""
    await asyncio.sleep(wait)
    body = json.dumps({"username": "x", "message": str(WAIT)}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /api/stream_chat_smart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        b"%b\r\nContent-Length: %d\r\n\r\n%b" % (token.encode(), len(body), body)
    )
    arrivals: list[tuple[float, int]] = []
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                now = time.monotonic()
                event = json.loads(line[6:])
                if event["status"] == "processing":
                    arrivals.append((now, int(event["elapsed_time"] / INTERVAL + 0.01)))
                elif event["status"] == "initializing":
                    begun.put_nowait(None)
                else:
                    return []
    except asyncio.CancelledError:
        return arrivals
    finally:
        writer.close()
    return []


async def _ask_health(port: int, seconds: list[float]) -> None:
    while True:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answered = await reader.read()
        writer.close()
        assert b" 200 " in answered, answered
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(HEALTH_INTERVAL)


async def main(port: int, token: str, seconds: float) -> Neighbours:
    """Follow the streams for so many seconds after the last one has begun."""
    begun: asyncio.Queue[None] = asyncio.Queue()
    follow = (_follow(port, token, number * INTERVAL / STREAMS, begun) for number in range(STREAMS))
    streams = [asyncio.create_task(each) for each in follow]
    for _ in streams:
        await begun.get()
    print("ready", flush=True)
    health: list[float] = []
    asking = asyncio.create_task(_ask_health(port, health))
    until = time.monotonic() + seconds
    await asyncio.sleep(seconds)
    if not health or not asking.done():
        health.append(max(0.0, time.monotonic() - until))
    asking.cancel()
    for stream in streams:
        stream.cancel()
    late: list[float] = []
    broken = 0
    for stream in streams:
        planned = [at - INTERVAL * number for at, number in await stream]
        broken += not planned
        late += [at - min(planned) for at in planned]
    return Neighbours(late, health, broken)


@contextmanager
def neighbours(server: ServerProcess, seconds: float) -> Iterator[list[Neighbours]]:
    """Measure for so many seconds during the block; the list has the result after it."""
    arguments = [server.url.rpartition(":")[2], token("neighbour"), str(seconds)]
    found: list[Neighbours] = []
    command = [sys.executable, "-m", "tests.faults.neighbours", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield found
        found.append(msgspec.json.decode(process.stdout.read(), type=Neighbours))


if __name__ == "__main__":
    result = asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    print(msgspec.json.encode(result).decode())
