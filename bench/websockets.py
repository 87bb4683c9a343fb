"""Cost of a WebSocket with one run, compared to the same run as Server-Sent Events."""

from __future__ import annotations

from statistics import median
from typing import Final

from bench import procfs
from bench.measurement import Measurement, measure
from bench.metrics import Verdict
from bench.report import Section, median_of
from bench.servers import OURS
from bench.workload import waiting

STREAMS: Final = 4000
COST_GOAL: Final = 1.15

SSE: Final = waiting(STREAMS)
WEBSOCKETS: Final = waiting(STREAMS, websocket=True)


def _show(title: str, one: Measurement) -> None:
    found = one.result
    print(f"  {title}: {found.lost} lost, {one.cpu_ms:.3f} ms per stream", flush=True)
    for why, count in found.errors.items():
        print(f"    {count} x {why}")


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    sse = []
    websockets = []
    for _ in range(rounds):
        sse.append(measure(OURS, SSE))
        _show("events", sse[-1])
        websockets.append(measure(OURS, WEBSOCKETS))
        _show("WebSockets", websockets[-1])
    lost = sum(one.result.lost for one in websockets)
    costs = [median(one.cpu_ms for one in measured) for measured in (sse, websockets)]
    kib = [median((one.stream_bytes or 0.0) / 1024 for one in measured) for measured in (sse, websockets)]
    ratio = costs[1] / costs[0]
    return Section(
        "WebSockets",
        f"{WEBSOCKETS.load} Each query has a connection of its own, with handshake and close frames.",
        "",
        Verdict(lost == 0, f"no runs lost ({lost})"),
        Verdict(
            ratio <= COST_GOAL,
            f"CPU per run at most {COST_GOAL:g} × that of Server-Sent Events: {ratio:.2f} ×"
            f" ({costs[1]:.3f} ms and {costs[0]:.3f} ms, {median_of(rounds)})",
        ),
        f"- memory per waiting connection: {kib[1]:.1f} KiB, and {kib[0]:.1f} KiB with Server-Sent Events",
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
