"""``persona-stream runs``: look into the log of requests from the terminal.

``persona-stream stats``: how fast the answers were.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
import msgspec
from msgspec.structs import replace
from sqlalchemy import Engine

from persona_stream.cli.db import SETTINGS, open_database
from persona_stream.cli.formatting import dollars, moment, seconds, table
from persona_stream.cli.options import duration, settings_subset
from persona_stream.client.terminal import sanitize, sanitize_json, sanitize_line
from persona_stream.core.clock import system_clock
from persona_stream.db.models import FAILED, RunFilters, RunRecord, RunRow, RunTexts
from persona_stream.db.run_queries import get_run, list_runs
from persona_stream.db.statistics import STAGES, Bucket, aggregate
from persona_stream.errors import ConfigurationError
from persona_stream.settings.types import Seconds

Command = TypeVar("Command", bound=Callable[..., Any])

_HEAD = ("run", "when", "status", "user", "persona", "model", "first text", "total", "tokens", "cost", "question")
_PAGE = 200  # runs
_EVERY = 1.0  # seconds between two looks for what is new
_LATE = 10.0  # seconds after its end that a run may be written and still be seen
_LONGEST = 3600.0  # seconds that a run may take and still be seen


@click.group()
def runs() -> None:
    """Look into the log of requests: list runs, show one, or follow them as they end."""


def _filtered(command: Command) -> Command:
    for option in (
        click.option("--search", help="In the question, the user or the persona."),
        click.option("--since", callback=duration(Seconds()), metavar="DURATION", help="Not older than this, like 1h."),
        click.option("--slow", callback=duration(Seconds()), metavar="DURATION", help="That took this long or longer."),
        click.option("--model", help="Of this model."),
        click.option("--endpoint", help="Of this address, like /api/chat."),
        click.option("--user", help="Of this caller or persona."),
        click.option("--failed", is_flag=True, help="That ended in an error or at the deadline."),
        click.option("--status", multiple=True, help="In this state. May be repeated."),
        click.option("--json", "as_json", is_flag=True, help="A JSON object a line."),
    ):
        command = option(command)
    return settings_subset(*SETTINGS)(command)


@runs.command(name="list")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), show_default=True, help="How many.")
@_filtered
def list_(limit: int, as_json: bool, **options: Any) -> None:
    """List the newest runs."""
    with open_database(options) as engine:
        found = list(_newest(engine, _filters(options), limit))
    if as_json:
        for row in found:
            click.echo(_json(row))
    elif found:
        click.echo(table(_HEAD, [_cells(row) for row in found], shutil.get_terminal_size((160, 24)).columns))
    else:
        click.echo("No run is like that.", err=True)


@runs.command()
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@settings_subset(*SETTINGS)
def show(run_id: str, as_json: bool, **options: Any) -> None:
    """Show all that is kept of a run."""
    with open_database(options) as engine, engine.connect() as connection:
        found = get_run(connection, run_id)
    if found is None:
        raise ConfigurationError(f"There is no run {sanitize_line(run_id)[:40]} in the log")
    record, texts = found
    click.echo(_json({"run": record, "texts": texts}) if as_json else "\n".join(_told(record, texts)))


@runs.command()
@_filtered
def tail(as_json: bool, **options: Any) -> None:
    """Print runs as they end, until Ctrl-C."""
    wanted, now = _filters(options), system_clock()
    # Without --since, what was there before is not what was asked for.
    first = since = now() if wanted.since is None else wanted.since
    shown: set[str] = set()
    with open_database(options) as engine:
        while True:
            looked_at = now()
            taken = max(wanted.since or 0.0, since - _LONGEST)
            ended = list(_newest(engine, replace(wanted, since=taken, ended_since=since), sys.maxsize))
            for row in reversed(ended):
                if row.run_id not in shown:
                    click.echo(_json(row) if as_json else _line(row))
            shown = {row.run_id for row in ended}
            since = max(first, looked_at - _LATE)
            time.sleep(_EVERY)


def _filters(options: dict[str, Any]) -> RunFilters:
    since = options["since"]
    return RunFilters(
        statuses=(*options["status"], *(FAILED if options["failed"] else ())),
        user=options["user"],
        endpoint=options["endpoint"],
        model=options["model"],
        slow=options["slow"],
        since=None if since is None else system_clock()() - since,
        search=options["search"],
    )


def _newest(engine: Engine, filters: RunFilters, limit: int) -> Iterator[RunRow]:
    before: str | None = None
    while limit > 0:
        with engine.connect() as connection:
            page, before = list_runs(connection, filters, before, min(limit, _PAGE))
        yield from page
        limit -= len(page)
        if before is None:
            return


def _cells(row: RunRow) -> tuple[str, ...]:
    return (
        row.run_id,
        moment(row.accepted_at),
        row.code or row.status,
        row.owner,
        row.username,
        row.model or "–",
        seconds(row.ttft),
        seconds(row.total),
        _tokens(row),
        dollars(row.cost),
        row.question,
    )


def _line(row: RunRow) -> str:
    when, status, owner, username = moment(row.accepted_at), row.code or row.status, row.owner, row.username
    return sanitize_line(
        f"{when}  {row.run_id}  {status}  {seconds(row.total)}  {owner} asked {username}: {row.question}"
    )


def _tokens(row: RunRow) -> str:
    if row.input_tokens is None:
        return "–"
    return f"{'~' if row.tokens_estimated else ''}{row.input_tokens}+{row.output_tokens}"


def _told(record: RunRecord, texts: RunTexts) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(record).items():
        if value is None or name == "question":
            continue
        shown = moment(value) if name.endswith("_at") else seconds(value) if name in _DURATIONS else str(value)
        yield f"{name:17} {sanitize_line(shown)}"
    for title, text in (
        ("Question", texts.question), ("Prompt", texts.prompt), ("Reasoning", texts.reasoning),
        ("Answer", texts.answer), ("Error", texts.error),
    ):  # fmt: skip
        if text:
            yield f"\n{title}\n{sanitize(text)}"
    if texts.steps:
        yield "\nSteps"
        for step in texts.steps:
            told = " ".join(part for part in (step.kind, step.text) if part)
            yield f"{step.at - record.accepted_at:8.2f} s  {sanitize_line(told)}"


_DURATIONS = frozenset({"waiting", "processing", "ttfe", "ttft", "tpot", "delivery", "total"})


def _json(value: object) -> str:
    return sanitize_json(msgspec.json.encode(value).decode())


_STATS_LONGEST = 3600.0  # seconds
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
@settings_subset(*SETTINGS)
def stats(since: float, as_json: bool, **options: Any) -> None:
    """Print how many runs there were, how long each stage took, and what they cost."""
    now = system_clock()()
    with open_database(options) as engine, engine.connect() as connection:
        measured = aggregate(connection, now - since, now, _STATS_LONGEST)
    click.echo(msgspec.json.encode(msgspec.to_builtins(measured)).decode() if as_json else _stats_told(measured))


def _stats_told(measured: Bucket) -> str:
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
