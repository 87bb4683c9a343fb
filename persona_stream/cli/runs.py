"""Commands ``persona-stream runs`` and ``stats``: the request log in the terminal."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec
from rich.cells import cell_len, set_cell_size
from sqlalchemy import Engine

from persona_stream.cli.db import SETTINGS, open_database
from persona_stream.cli.settings import Command, ValueType, load_settings_from, settings_subset
from persona_stream.client.sanitizer import sanitize, sanitize_json, sanitize_line
from persona_stream.core.clock import system_clock
from persona_stream.core.forecast import FinishedRun
from persona_stream.db import models, queries, statistics
from persona_stream.errors import ConfigurationError
from persona_stream.runs.forecasts import replay
from persona_stream.settings.types import Duration, PositiveDuration

PAGE_SIZE = 200  # runs
POLL_INTERVAL = 1.0  # seconds
WRITE_DELAY = 10.0  # seconds after its end that a run may be written and still be printed
MAX_RUN_DURATION = 3600.0  # seconds that a run may take and still be found
MIN_QUESTION_WIDTH = 20  # terminal columns
DEFAULT_WIDTH = 160  # terminal columns, for a pipe
COLUMN_GAP = 2  # terminal columns
SHORT_ID_LENGTH = 8  # characters; the last ones, since the first are the time
MIN_ID_LENGTH = 4  # characters that may stand for a run
NONE = "–"
_STATUS_COLORS = {"complete": "green", "cancelled": "yellow", "timeout": "yellow", NONE: "blue"}
_NUMBERS = frozenset({"count", "bytes", "seconds", "dollars"})

_LISTED = [column for column in models.columns_of(models.RunRow) if column.priority]
# These columns show more than their own value.
_COMBINED: dict[str, Callable[[models.RunRow], str]] = {
    "status": lambda row: row.code or row.status,
    "output_tokens": lambda row: _format_tokens(row),
}


@click.group()
def runs() -> None:
    """Search the request log: list runs, show one, or print runs as they end."""


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--search", help="Only runs with this text in the question, the user or the persona."),
        click.option("--since", type=ValueType(Duration), help="Only runs at most this old, such as 1h."),
        click.option("--slow", type=ValueType(Duration), help="Only runs that took at least this long."),
        click.option("--model", help="Only runs of this model."),
        click.option("--endpoint", help="Only runs of this endpoint, such as /api/chat."),
        click.option("--user", help="Only runs of this user or persona."),
        click.option("--failed", is_flag=True, help="Only runs that ended in an error or a timeout."),
        click.option("--status", multiple=True, help="Only runs with this status. Can be repeated."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line."),
    ):
        command = option(command)
    return settings_subset(*SETTINGS)(command)


@runs.command(name="list")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), show_default=True, help="Number of runs.")
@_filter_options
def list_(limit: int, as_json: bool, **options: Any) -> None:
    """List the newest runs."""
    settings = load_settings_from(options).settings
    with open_database(settings) as database:
        rows = list(_newest_runs(database, _filters(options), limit))
    now = system_clock()()
    if as_json:
        for row in rows:
            click.echo(_to_json(row))
    elif rows:
        cells = [[_short_cell(column, row, now) for column in _LISTED] for row in rows]
        is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        click.echo(render_table(table_columns(_LISTED), cells, _terminal_width(), is_colored=is_colored))
    else:
        click.echo("No runs match.", err=True)


@runs.command()
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_subset(*SETTINGS)
def show(run_id: str, as_json: bool, **options: Any) -> None:
    """Show a run with its texts and steps. The end of its id suffices, such as the one that `runs list` prints."""
    settings = load_settings_from(options).settings
    with open_database(settings) as database, database.connect() as connection:
        found = queries.get_run(connection, run_id)
        if found is None and len(run_id) >= MIN_ID_LENGTH:
            candidates = queries.find_run_ids(connection, run_id.lower(), limit=10)
            if len(candidates) > 1:
                raise ConfigurationError(f"Several runs end in {sanitize_line(run_id)}: {', '.join(candidates)}")
            found = queries.get_run(connection, candidates[0]) if candidates else None
    if found is None:
        raise ConfigurationError(f"The log has no run {sanitize_line(run_id)[:40]}")
    record, texts = found
    click.echo(_to_json({"run": record, "texts": texts}) if as_json else "\n".join(_describe(record, texts)))


@runs.command()
@_filter_options
def tail(as_json: bool, **options: Any) -> None:
    """Print runs as they end, until Ctrl-C."""
    settings = load_settings_from(options).settings
    filters = _filters(options)
    now = system_clock()
    # Without --since, runs that ended earlier are not printed.
    start = now() if filters.since is None else filters.since
    since = start
    printed: set[str] = set()
    with open_database(settings) as database:
        while True:
            polled_at = now()
            accepted_since = max(filters.since or 0.0, since - MAX_RUN_DURATION)
            polled = msgspec.structs.replace(filters, since=accepted_since, ended_since=since)
            ended = list(_newest_runs(database, polled, sys.maxsize))
            for row in reversed(ended):
                if row.run_id not in printed:
                    click.echo(_to_json(row) if as_json else _line(row))
            printed = {row.run_id for row in ended}
            since = max(start, polled_at - WRITE_DELAY)
            time.sleep(POLL_INTERVAL)


def _filters(options: dict[str, Any]) -> models.RunFilters:
    since = options["since"]
    return models.RunFilters(
        statuses=(*options["status"], *(models.FAILED if options["failed"] else ())),
        since=None if since is None else system_clock()() - since,
        **{name: options[name] for name in ("user", "endpoint", "model", "slow", "search")},
    )


def _newest_runs(database: Engine, filters: models.RunFilters, limit: int) -> Iterator[models.RunRow]:
    before: str | None = None
    while limit > 0:
        with database.connect() as connection:
            page, before = queries.list_runs(connection, filters, before, min(limit, PAGE_SIZE))
        yield from page
        limit -= len(page)
        if before is None:
            return


class TableColumn(msgspec.Struct, frozen=True):
    """Column of a terminal table; numbers are aligned to the right."""

    title: str
    kind: models.Kind = "text"
    priority: int = 1  # where the terminal is too narrow, 1 is dropped last
    min_width: int = 0  # how far its cells may be cut; 0 for not at all


def render_table(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int, *, is_colored: bool = False
) -> str:
    """Render a table with one line for each row; columns that do not fit into the width are left out."""
    cells = [[sanitize_line(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    full = [max(map(cell_len, texts)) for texts in zip(titles, *cells, strict=True)]
    widths: dict[int, int] = {}
    room = width + COLUMN_GAP
    for index in sorted(range(len(columns)), key=lambda index: columns[index].priority):
        needed = min(full[index], columns[index].min_width or full[index], width)
        if needed + COLUMN_GAP <= room:
            widths[index] = needed
            room -= needed + COLUMN_GAP
    for index in sorted(widths):
        extra = min(full[index] - widths[index], room)
        widths[index] += extra
        room -= extra
    lines = []
    for row in (titles, *cells):
        fitted = [_fit(row[i], widths[i], to_right=columns[i].kind in _NUMBERS) for i in sorted(widths)]
        if is_colored and row is not titles:
            shown = [columns[i].kind for i in sorted(widths)]
            fitted = [_color_status(text) if shown[i] == "status" else text for i, text in enumerate(fitted)]
        lines.append((" " * COLUMN_GAP).join(fitted).rstrip())
    return "\n".join(lines)


def _color_status(text: str) -> str:
    return click.style(text, fg=_STATUS_COLORS.get(text.strip(), "red"))


def _fit(text: str, width: int, *, to_right: bool) -> str:
    if cell_len(text) > width:
        text = f"{set_cell_size(text, width - 1)}…"
    padding = " " * (width - cell_len(text))
    return padding + text if to_right else text + padding


def format_value(kind: models.Kind, value: object) -> str:
    """Format a value of a log column."""
    match kind, value:
        case [_, None]:
            return NONE
        case ["moment", float(at)]:
            return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        case ["seconds", float(seconds) | int(seconds)]:
            return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
        case ["flag", bool(flag)]:
            return "yes" if flag else "no"
        case ["dollars", float(dollars) | int(dollars)]:
            return f"${dollars:.4f}"
        case _:
            return str(value)


def table_columns(columns: Sequence[models.LogColumn]) -> list[TableColumn]:
    """Return the terminal's columns for log columns."""
    titles = {"output_tokens": "Tokens"}
    widths = {"question": MIN_QUESTION_WIDTH}
    return [
        TableColumn(titles.get(each.name, each.title[0]), each.kind, each.priority, widths.get(each.name, 0))
        for each in columns
    ]


def _cell(column: models.LogColumn, row: models.RunRow) -> str:
    combined = _COMBINED.get(column.name)
    return format_value(column.kind, getattr(row, column.name)) if combined is None else combined(row)


def _short_cell(column: models.LogColumn, row: models.RunRow, now: float) -> str:
    match column.name:
        case "run_id":
            return row.run_id[-SHORT_ID_LENGTH:]
        case "accepted_at":
            return format_age(row.accepted_at, now)
        case _:
            return _cell(column, row)


def format_age(at: float, now: float) -> str:
    """Return how long ago a moment was, and its date if that is more than a day."""
    seconds = max(0.0, now - at)
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds / 3600:.0f} h ago"
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _line(row: models.RunRow) -> str:
    by_name = {column.name: _cell(column, row) for column in _LISTED}
    parts = (by_name[name] for name in ("accepted_at", "run_id", "status", "total"))
    return sanitize_line(f"{'  '.join(parts)}  {row.owner} asked {row.username}: {row.question}")


def _format_tokens(row: models.RunRow) -> str:
    if row.input_tokens is None:
        return NONE
    return f"{'~' if row.tokens_estimated else ''}{row.input_tokens}+{row.output_tokens}"


def _describe(record: models.RunRecord, texts: models.RunTexts) -> Iterator[str]:
    for column in models.RUN_COLUMNS:
        value = getattr(record, column.name)
        if value is not None and column.name != "question":
            yield f"{column.name:17} {sanitize_line(format_value(column.kind, value))}"
    for title, text in (
        ("Question", texts.question), ("Prompt", texts.prompt), ("Reasoning", texts.reasoning),
        ("Answer", texts.answer), ("Error", texts.error),
    ):  # fmt: skip
        if text:
            yield f"\n{title}\n{sanitize(text)}"
    if texts.steps:
        yield "\nSteps"
        for step in texts.steps:
            description = " ".join(part for part in (step.kind, step.text) if part)
            yield f"{step.at - record.accepted_at:8.2f} s  {sanitize_line(description)}"


def _to_json(value: object) -> str:
    return sanitize_json(msgspec.json.encode(value).decode())


_RANKS = ("p50", "p95", "p99")
_STATS_COLUMNS = (
    TableColumn("Stage"),
    TableColumn("Runs", "count"),
    TableColumn("Mean", "seconds"),
    *(TableColumn(rank, "seconds", priority=2) for rank in _RANKS),
)

_PROGRESS_COLUMNS = (
    TableColumn("Backend"),
    *(TableColumn(title, "count") for title in ("Runs", "Error", "Best curve", "At 95 %", "In the 80 % range")),
)


@click.command()
@click.option(
    "--since", type=ValueType(PositiveDuration), default="1d", metavar="DURATION", show_default=True,
    help="Length of the period that ends now.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_subset(*SETTINGS)
def stats(since: float, as_json: bool, **options: Any) -> None:
    """Print the runs, the mean duration of each stage, the cost, and the accuracy of the progress in points."""
    settings = load_settings_from(options).settings
    now = system_clock()()
    with open_database(settings) as database, database.connect() as connection:
        bucket = statistics.aggregate(connection, now - since, now, MAX_RUN_DURATION)
        durations = () if as_json else queries.recent_durations(connection)
    if as_json:
        click.echo(msgspec.json.encode(msgspec.to_builtins(bucket)).decode())
    else:
        click.echo(_describe_stats(bucket) + _describe_progress(durations, settings.timeout))


def _describe_stats(bucket: statistics.Bucket) -> str:
    sums = bucket.sums
    titles = {column.name: column.title[0] for column in models.RUN_COLUMNS}
    rows = []
    for stage in sums.stages:
        ranked = {"ttft": bucket.ttft, "total": bucket.total}.get(stage.name)
        durations = (stage.mean, *(getattr(ranked, rank, None) for rank in _RANKS))
        cells = [format_value("seconds", duration) for duration in durations]
        rows.append((titles[stage.name], str(stage.runs), *cells))
    speed = sums.characters_per_second
    rate = sums.tokens_per_second
    return (
        f"Runs             {sums.requests}, {sums.failed} failed; {bucket.in_flight:.1f} concurrent on average\n"
        f"Tokens           {sums.input_tokens} in, {sums.output_tokens} out\n"
        f"Cost             {format_value('dollars', sums.cost)}, as far as prices are known\n"
        f"Token speed      {NONE if rate is None else f'{rate:.1f} tokens/s'}, from the start to the answer\n"
        f"Delivery speed   {NONE if speed is None else f'{speed:.0f} characters/s'}\n\n"
        + render_table(_STATS_COLUMNS, rows, _terminal_width())
    )


def _describe_progress(durations: Sequence[tuple[str, FinishedRun]], deadline: float) -> str:
    """Return a table of the accuracy that the progress of the latest runs had, by backend."""
    by_backend: dict[str, list[FinishedRun]] = {}
    for backend, run in durations:
        by_backend.setdefault(backend, []).append(run)
    rows = []
    for backend, earlier in by_backend.items():
        if (accuracy := replay(earlier, deadline)) is not None:
            coverage = NONE if accuracy.coverage is None else f"{accuracy.coverage:.0%}"
            errors = (f"{accuracy.error:.1f}", f"{accuracy.best_error:.1f}")
            rows.append((sanitize_line(backend), str(accuracy.runs), *errors, f"{accuracy.stuck:.0%}", coverage))
    if not rows:
        return ""
    return "\n\nProgress, from the earlier runs alone\n" + render_table(_PROGRESS_COLUMNS, rows, _terminal_width())


def _terminal_width() -> int:
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
