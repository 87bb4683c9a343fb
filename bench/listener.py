"""A client of OpenAI's wire that tells how late each token is.

Run as ``python -m bench.listener PORT STREAMS``; it writes one line of JSON, a ``Heard``. The streams begin one after
the other, ``ARRIVALS`` a second. Whatever arrives is only stamped, and read when all is over: a listener that is busy
would call tokens late that have long arrived.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import msgspec

from bench.provider import RATE, TOKENS, WIDTH, now
from bench.workload import tokens

ARRIVALS = 10.0  # a second
PATIENCE = 60.0
_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


class Heard(msgspec.Struct, frozen=True):
    """Hold what was heard, in milliseconds.

    Attributes:
        first: from the request to the first token, one for each stream that was whole.
        late: from when a token was sent to when it was heard, one for each token.
        lost: how many streams were not whole.
        cpu: the CPU seconds that this took.
        seconds: and how long it took.
    """

    first: list[float]
    late: list[float]
    lost: int
    cpu: float
    seconds: float


class _Listening(asyncio.Protocol):
    """Ask, and stamp what arrives."""

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
    listening = _Listening(token)
    await asyncio.get_running_loop().create_connection(lambda: listening, "127.0.0.1", port)
    await listening.ended
    return listening.asked, listening.reads


def lateness(asked: int, reads: list[tuple[int, bytes]]) -> tuple[float, list[float]]:
    """Give when the first token was heard, and how late each was.

    A token is heard when its digits are; the space behind it only keeps it from the next one.
    """
    first, late, said, rest = 0.0, [], "", b""
    for at, data in reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b'data: {"id"'):
                said += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        while len(said) >= (len(late) + 1) * (WIDTH + 1) - 1:
            begins = len(late) * (WIDTH + 1)
            late.append((at - int(said[begins : begins + WIDTH])) / 1000)
            first = first or (at - asked) / 1000
    return first, late


async def main(port: int, streams: int) -> Heard:
    """Ask, and listen to the end."""
    names = tokens()
    began, cpu = now(), time.process_time()
    asked = [_listen(port, names[number % len(names)], number / ARRIVALS) for number in range(streams)]
    ended = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE + TOKENS / RATE)
    cpu, seconds = time.process_time() - cpu, (now() - began) / 1e6
    heard = [lateness(*one) for one in ended]
    whole = [one for one in heard if len(one[1]) == TOKENS]
    first, late = [first for first, _ in whole], [each for _, late in whole for each in late]
    return Heard(first, late, streams - len(whole), cpu, seconds)


if __name__ == "__main__":
    heard = asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    print(msgspec.json.encode(heard).decode())
