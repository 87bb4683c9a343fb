"""OpenAI client that measures the latency of each token.

Run as ``python -m bench.listener PORT STREAMS``; it prints ``TokenLatencies`` as one line of JSON. ``ARRIVAL_RATE``
streams start per second. Reads are only recorded, and parsed at the end, because a busy client would report tokens late
that have arrived long before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import msgspec

from bench.provider import RATE, TOKENS, WIDTH, now
from bench.workload import tokens

ARRIVAL_RATE = 10.0  # per second
TIMEOUT = 60.0  # seconds, beyond the planned duration
_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


class TokenLatencies(msgspec.Struct, frozen=True):
    """Latencies in milliseconds.

    Attributes:
        first: the time from the request to the first token, for each complete stream.
        late: the time from sending to receiving, for each token.
        lost: the number of incomplete streams.
        cpu: the CPU seconds of the client.
        seconds: the duration of the measurement.
    """

    first: list[float]
    late: list[float]
    lost: int
    cpu: float
    seconds: float


class _Connection(asyncio.Protocol):
    """Connection that records its reads."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._tail = b""
        self.asked = now()
        self.reads: list[tuple[int, bytes]] = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (self._token.encode(), len(_BODY), _BODY)
        )

    def data_received(self, data: bytes) -> None:
        self.reads.append((now(), data))
        self._tail = self._tail[-20:] + data
        if b"data: [DONE]" in self._tail:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


async def _listen(port: int, token: str, wait: float) -> tuple[int, list[tuple[int, bytes]]]:
    await asyncio.sleep(wait)
    connection = _Connection(token)
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    await connection.ended
    return connection.asked, connection.reads


def lateness(asked: int, reads: list[tuple[int, bytes]]) -> tuple[float, list[float]]:
    """Return the latency of the first token since the request, and of each token since it was sent.

    A token is received with its digits; the space after it only separates it from the next one.
    """
    first = 0.0
    late: list[float] = []
    text = ""
    rest = b""
    for at, data in reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b'data: {"id"'):
                text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        while len(text) >= (len(late) + 1) * (WIDTH + 1) - 1:
            begins = len(late) * (WIDTH + 1)
            late.append((at - int(text[begins : begins + WIDTH])) / 1000)
            first = first or (at - asked) / 1000
    return first, late


async def main(port: int, streams: int) -> TokenLatencies:
    """Read so many streams and return their latencies."""
    names = tokens()
    began = now()
    cpu = time.process_time()
    tasks = [_listen(port, names[number % len(names)], number / ARRIVAL_RATE) for number in range(streams)]
    ended = await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT + TOKENS / RATE)
    cpu = time.process_time() - cpu
    seconds = (now() - began) / 1e6
    latencies = [lateness(*one) for one in ended]
    whole = [one for one in latencies if len(one[1]) == TOKENS]
    first = [first for first, _ in whole]
    late = [each for _, late in whole for each in late]
    return TokenLatencies(first, late, streams - len(whole), cpu, seconds)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))).decode())
