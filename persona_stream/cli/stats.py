"""``persona-stream stats``: how fast the answers were."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from persona_stream.cli.database import SETTINGS, opened
from persona_stream.cli.options import duration, some_settings
from persona_stream.cli.tables import dollars, seconds, table
from persona_stream.core.clock import calendar_clock
from persona_stream.db.statistics import STAGES, Slice, measure
from persona_stream.settings.types import Seconds

_LONGEST = 3600.0  # seconds
_NAMES = {
    "waiting": "waiting for a place",
    "processing": "processing",
    "ttft": "request to first text",
    "delivery": "delivery",
    "total": "request to end",
}


@click.command()
@click.option(
    "--since",
    callback=duration(Seconds(above_zero=True)),
    default="1d",
    metavar="DURATION",
    show_default=True,
    help="Back to when.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@some_settings(*SETTINGS)
def stats(since: float, as_json: bool, **options: Any) -> None:
    """Print how many runs there were, how long each stage took, and what they cost."""
    now = calendar_clock()()
    with opened(options) as engine, engine.connect() as connection:
        measured = measure(connection, now - since, now, _LONGEST)
    click.echo(msgspec.json.encode(msgspec.to_builtins(measured)).decode() if as_json else _told(measured))


def _told(measured: Slice) -> str:
    sums = measured.sums
    ranked = {"ttft": measured.ttft, "total": measured.total}
    rows = []
    for name, count, total in zip(STAGES, sums.counts, sums.seconds, strict=True):
        rank = ranked.get(name)
        ranks = [seconds(getattr(rank, each, None)) for each in ("p50", "p95", "p99")]
        rows.append((_NAMES[name], str(count), seconds(total / count if count else None), *ranks))
    delivering = sums.seconds[STAGES.index("delivery")]
    speed = f"{sums.written / delivering:.0f} characters/s" if delivering > 0 else "–"
    return "\n".join(
        (
            f"Runs             {sums.requests}, of which {sums.failed} failed; {measured.in_flight:.1f} at once",
            f"Tokens           {sums.input_tokens} in, {sums.output_tokens} out",
            f"Cost             {dollars(sums.cost)}, as far as prices are known",
            f"Delivery speed   {speed}",
            "",
            table(("stage", "runs", "mean", "p50", "p95", "p99"), rows, 120),
        )
    )
