"""What it costs that a provider's stream goes through us: the same listener asks the provider, and asks us."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Final, NamedTuple

import msgspec

from bench import procfs
from bench.listener import ARRIVALS, Heard
from bench.provider import RATE, TOKENS
from bench.report import verdict
from bench.servers import OURS, ROOT, Running, Server, started

STREAMS: Final = 50
FIRST_AIM: Final = 5.0
"""Milliseconds that the first token may come later, at the median."""
LATE_AIM: Final = 60.0
"""Milliseconds that 99 % of the tokens may be late."""


@contextmanager
def _provider(core: int) -> Iterator[Running]:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.provider"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Running(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()


def _heard(port: int, core: int, streams: int = STREAMS) -> Heard:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.listener", str(port), str(streams)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=Heard)


def _relaying(port: int) -> Server:
    own = [part for part in OURS.command if part not in ("--backend", "bench.backend:answer")]
    flags = ("--backend", "openai", "--openai-base-url", f"http://127.0.0.1:{port}/v1", "--openai-model", "m")
    return OURS._replace(command=(*own, *flags, "--openai-stream", "on"))


class Taken(NamedTuple):
    """What one round found.

    Attributes:
        direct: what was heard of the provider.
        relayed: what was heard of us.
        cpu: our CPU seconds for that.
        busy: how busy the provider and the listener kept their core, without us and with us, from 0.0 to 1.0. Where
            that is near 1.0, it is they that are late.
    """

    direct: Heard
    relayed: Heard
    cpu: float
    busy: tuple[float, float]


def _watched(port: int, core: int, provider: Running) -> tuple[Heard, float]:
    """Listen, and tell how busy that keeps the core of both."""
    before = procfs.cpu_seconds(provider.pid)
    heard = _heard(port, core)
    return heard, (heard.cpu + procfs.cpu_seconds(provider.pid) - before) / heard.seconds


def _one() -> Taken:
    client_core, server_core = procfs.cores()
    with _provider(client_core) as provider:
        direct, busy = _watched(provider.port, client_core, provider)
        with started(_relaying(provider.port), server_core) as running:
            _heard(running.port, client_core, streams=2)  # what is imported or built once
            before = procfs.cpu_seconds(running.pid)
            relayed, busy_too = _watched(running.port, client_core, provider)
            return Taken(direct, relayed, procfs.cpu_seconds(running.pid) - before, (busy, busy_too))


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


def _per_token(seconds: float) -> float:
    """Give the microseconds of one token."""
    return 1e6 * seconds / (STREAMS * TOKENS)


def section(rounds: int) -> list[str]:
    """Measure, and write the section of the report."""
    taken = []
    for _ in range(rounds):
        taken.append(_one())
        direct, relayed, cpu, busy = taken[-1]
        print(
            f"  first {median(direct.first):.1f} / {median(relayed.first):.1f} ms, late p99 {_p99(direct.late):.1f} /"
            f" {_p99(relayed.late):.1f} ms, their core {busy[0]:.0%} / {busy[1]:.0%}, our CPU {_per_token(cpu):.0f} µs",
            flush=True,
        )
    lost = sum(heard.lost for one in taken for heard in (one.direct, one.relayed))
    rows = {
        "first token, median": [(median(one.direct.first), median(one.relayed.first)) for one in taken],
        "first token, p99": [(_p99(one.direct.first), _p99(one.relayed.first)) for one in taken],
        "a token is late by, median": [(median(one.direct.late), median(one.relayed.late)) for one in taken],
        "a token is late by, p99": [(_p99(one.direct.late), _p99(one.relayed.late)) for one in taken],
    }
    medians = {name: [median(column) for column in zip(*pairs, strict=True)] for name, pairs in rows.items()}
    first, late = medians["first token, median"], medians["a token is late by, p99"]
    cpu = median(one.cpu for one in taken)
    busy = [median(column) for column in zip(*(one.busy for one in taken), strict=True)]
    return [
        "",
        "## A provider's stream, through us",
        "",
        f"{STREAMS} clients, {ARRIVALS:g} of them a second, each with {TOKENS:,} tokens at {RATE:g} a second. Asked of "
        "a stand-in provider directly, and of our `openai` backend that streams from it. Each token says when it was "
        "sent. The provider and the clients share one core, and we have the other.",
        "",
        f"- {verdict(lost == 0)}: no stream lost a token ({lost})",
        f"- {verdict(first[1] - first[0] <= FIRST_AIM)}: the first token at most {FIRST_AIM:g} ms later at the "
        f"median: {first[1] - first[0]:.1f} ms",
        f"- {verdict(late[1] <= LATE_AIM)}: 99 % of the tokens at most {LATE_AIM:g} ms late: {late[1]:.1f} ms",
        "",
        f"| median of {rounds} rounds | directly | through us |",
        "|---|---:|---:|",
        *(f"| {name} | {one:.1f} ms | {two:.1f} ms |" for name, (one, two) in medians.items()),
        f"| provider and clients keep their core busy | {busy[0]:.0%} | {busy[1]:.0%} |",
        f"| our CPU for a token | – | {_per_token(cpu):.0f} µs |",
    ]


if __name__ == "__main__":
    print("\n".join(section(1)))
