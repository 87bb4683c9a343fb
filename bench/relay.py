"""Cost of relaying a provider stream: the same client reads from the provider directly and through the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Final, NamedTuple

import msgspec

from bench import procfs
from bench.listener import ARRIVAL_RATE, TokenLatencies
from bench.metrics import Verdict
from bench.provider import RATE, TOKENS
from bench.report import Section, median_of
from bench.servers import OURS, ROOT, Running, Server, started

STREAMS: Final = 50
FIRST_TOKEN_GOAL: Final = 5.0
"""Maximum additional milliseconds of the first token, at the median."""
LATENCY_GOAL: Final = 60.0
"""Maximum latency of 99 % of the tokens, in milliseconds."""


@contextmanager
def _provider(core: int) -> Iterator[Running]:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.provider"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Running(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()


def _listen(port: int, core: int, streams: int = STREAMS) -> TokenLatencies:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.listener", str(port), str(streams)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=TokenLatencies)


def _relaying(port: int) -> Server:
    own = [part for part in OURS.command if part not in ("--backend", "bench.backend:answer")]
    flags = ("--backend", "openai", "--openai-base-url", f"http://127.0.0.1:{port}/v1", "--openai-model", "m")
    return OURS._replace(command=(*own, *flags, "--openai-stream", "on"))


class RelayRound(NamedTuple):
    """Result of one round.

    Attributes:
        direct: the latencies of the provider.
        relayed: the latencies through the server.
        cpu: the CPU seconds of the server.
        busy: the utilisation of the core of provider and client, directly and through the server, 0.0 to 1.0; near 1.0
            their own delays dominate.
    """

    direct: TokenLatencies
    relayed: TokenLatencies
    cpu: float
    busy: tuple[float, float]


def _measure(port: int, core: int, provider: Running) -> tuple[TokenLatencies, float]:
    """Return the latencies, and the utilisation of the core of provider and client."""
    before = procfs.cpu_seconds(provider.pid)
    latencies = _listen(port, core)
    return latencies, (latencies.cpu + procfs.cpu_seconds(provider.pid) - before) / latencies.seconds


def _one() -> RelayRound:
    client_core, server_core = procfs.cores()
    with _provider(client_core) as provider:
        direct, busy = _measure(provider.port, client_core, provider)
        with started(_relaying(provider.port), server_core) as running:
            _listen(running.port, client_core, streams=2)  # warm-up
            before = procfs.cpu_seconds(running.pid)
            relayed, relay_busy = _measure(running.port, client_core, provider)
            return RelayRound(direct, relayed, procfs.cpu_seconds(running.pid) - before, (busy, relay_busy))


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


def _per_token(seconds: float) -> float:
    """Return the microseconds per token."""
    return 1e6 * seconds / (STREAMS * TOKENS)


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    results = []
    for _ in range(rounds):
        results.append(_one())
        direct, relayed, cpu, busy = results[-1]
        print(
            f"  first {median(direct.first):.1f} / {median(relayed.first):.1f} ms, p99 {_p99(direct.late):.1f} /"
            f" {_p99(relayed.late):.1f} ms, client core {busy[0]:.0%} / {busy[1]:.0%}, CPU {_per_token(cpu):.0f} µs",
            flush=True,
        )
    lost = sum(latencies.lost for one in results for latencies in (one.direct, one.relayed))
    rows = {
        "first token, median": [(median(one.direct.first), median(one.relayed.first)) for one in results],
        "first token, p99": [(_p99(one.direct.first), _p99(one.relayed.first)) for one in results],
        "token latency, median": [(median(one.direct.late), median(one.relayed.late)) for one in results],
        "token latency, p99": [(_p99(one.direct.late), _p99(one.relayed.late)) for one in results],
    }
    medians = {name: [median(column) for column in zip(*pairs, strict=True)] for name, pairs in rows.items()}
    first = medians["first token, median"]
    late = medians["token latency, p99"]
    cpu = median(one.cpu for one in results)
    busy = [median(column) for column in zip(*(one.busy for one in results), strict=True)]
    return Section(
        "Relaying a provider stream",
        f"{STREAMS} clients arrive at {ARRIVAL_RATE:g} per second and receive {TOKENS:,} tokens each at {RATE:g} per "
        "second, once directly from a fake provider and once through the `openai` backend, which streams from it. Each "
        "token contains the time at which it was sent. The provider and the clients share one core; the server has "
        "the other.",
        "",
        Verdict(lost == 0, f"no stream lost a token ({lost})"),
        Verdict(
            first[1] - first[0] <= FIRST_TOKEN_GOAL,
            f"first token at most {FIRST_TOKEN_GOAL:g} ms later at the median: {first[1] - first[0]:.1f} ms",
        ),
        Verdict(
            late[1] <= LATENCY_GOAL, f"latency of 99 % of the tokens at most {LATENCY_GOAL:g} ms: {late[1]:.1f} ms"
        ),
        "",
        f"| {median_of(rounds)} | direct | through persona_stream |",
        "|---|---:|---:|",
        *(f"| {name} | {one:.1f} ms | {two:.1f} ms |" for name, (one, two) in medians.items()),
        f"| utilisation of the core shared by provider and clients | {busy[0]:.0%} | {busy[1]:.0%} |",
        f"| CPU of persona_stream per token | – | {_per_token(cpu):.0f} µs |",
    )


if __name__ == "__main__":
    print("\n".join(section(1).lines()))
