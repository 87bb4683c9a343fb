"""Response times of the dashboard API with a large log in SQLite, and its query plans: ``python -m bench.dashboard``.

Each page is requested twenty times over HTTP; ``first`` is the first request, without caches.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import requests
from sqlalchemy import Connection, event

from persona_stream.db.engine import database_url, open_engine
from persona_stream.db.models import FAILED, RunFilters
from persona_stream.db.queries import filter_options, get_run, list_runs, newest_runs_query
from persona_stream.db.statistics import TimeSeries
from tests.db.factories import MONTH, fill
from tests.server_process import SECRET, ServerProcess, token

_REQUEST_COUNT = 20
_GOAL_MS = 200.0
_DAY = 86_400.0


def _pages(now: float) -> Sequence[tuple[str, str, RunFilters | None]]:
    """Return the name and path of each page, and the filters of lists."""
    listed = {
        "list": RunFilters(),
        "list: failed": RunFilters(statuses=FAILED),
        "list: timeouts": RunFilters(statuses=("timeout",)),
        "list: a user": RunFilters(user="user-007"),
        "list: a persona's failures": RunFilters(user="LuXun", statuses=FAILED),
        "list: an endpoint": RunFilters(endpoint="/v1/messages"),
        "list: a rare endpoint's failures": RunFilters(endpoint="/api/chat", statuses=FAILED),
        "list: a model": RunFilters(model="gpt-4o"),
        "list: slow": RunFilters(slow=60.0),
        "list: a day of last week": RunFilters(since=now - 8 * _DAY, until=now - 7 * _DAY),
        "list: search with matches": RunFilters(search="Ethereum"),
        "list: search without matches": RunFilters(search="nothing is like this"),
    }
    stats = {f"charts: {days} d": f"stats?since={now - days * _DAY}" for days in (1, 7, 30)}
    return [
        *((name, f"runs?{_query(filters)}", filters) for name, filters in listed.items()),
        ("choices", "choices", None),
        *((name, path, None) for name, path in stats.items()),
    ]


def _query(filters: RunFilters) -> str:
    given = {
        "status": filters.statuses, "user": filters.user, "endpoint": filters.endpoint, "model": filters.model,
        "slow": filters.slow, "since": filters.since, "until": filters.until, "search": filters.search,
    }  # fmt: skip
    return urlencode({name: value for name, value in given.items() if value}, doseq=True)


def _measure(server: ServerProcess, path: str) -> tuple[float, float]:
    took = []
    headers = {"Authorization": f"Bearer {token('bench', scope='admin')}"}
    with requests.Session() as session:
        session.get(f"{server.url}/healthz", timeout=60)
        for _ in range(_REQUEST_COUNT):
            began = time.perf_counter()
            answer = session.get(f"{server.url}/dashboard/api/{path}", headers=headers, timeout=60)
            took.append(1000 * (time.perf_counter() - began))
            answer.raise_for_status()
    return took[0], statistics.median(took)


def _plans(connection: Connection, filters: RunFilters) -> Iterator[str]:
    query = newest_runs_query(filters, None, None, limit=51, dialect="sqlite").compile(
        connection.engine, compile_kwargs={"literal_binds": True}
    )
    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {str(query).replace('%', '%%')}"):
        yield str(row[3])


def _all_plans(connection: Connection, now: float) -> Iterator[str]:
    """Yield the query plans of all statements of the other pages."""
    seen: dict[str, None] = {}

    def note(_: object, _cursor: object, statement: str, parameters: object, *more: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            cursor = connection.connection.cursor()
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.update(dict.fromkeys(row[3] for row in cursor.fetchall()))
            cursor.close()

    event.listen(connection.engine, "before_cursor_execute", note)
    newest_run = list_runs(connection, RunFilters(), None, 1)[0][0]
    for name, ask in (
        ("a run", lambda: get_run(connection, newest_run.run_id)),
        ("choices", lambda: filter_options(connection)),
        ("charts", lambda: TimeSeries(lambda: now, 300.0).build(connection, now - MONTH, now)),
    ):
        seen.clear()
        ask()
        yield from (f"{name}: {line}" for line in seen)
    event.remove(connection.engine, "before_cursor_execute", note)


def main() -> None:
    """Create the log, measure the pages and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the log (100000)")
    parser.add_argument("--file", type=Path, help="database file to create or reuse")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = (options.file or Path(folder) / "log.sqlite").resolve()
        url = f"sqlite:///{file}"
        exists = file.exists()  # the engine creates an empty file
        engine = open_engine(database_url(url, file.parent), 1)
        if not exists:
            print(f"Writing {options.runs} runs ...", file=sys.stderr)
            fill(engine, options.runs, time.time() - 600)
        with engine.connect() as connection:
            runs, _ = list_runs(connection, RunFilters(), None, 1)
            now = runs[0].accepted_at
            pages = [*_pages(now), ("a run", f"runs/{runs[0].run_id}", None)]
            load = os.getloadavg()[0]
            print(f"{options.runs} runs, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before")
            server = ServerProcess([f"--jwt-secret={SECRET}", f"--state-dir={folder}", f"--database-url={url}"])
            try:
                for name, path, _ in pages:
                    first, median = _measure(server, path)
                    mark = "" if median < _GOAL_MS else f"   over {_GOAL_MS:.0f} ms"
                    print(f"{name:36} first {first:7.1f} ms   median {median:7.1f} ms{mark}")
            finally:
                server.stop()
            for name, _, filters in pages:
                if filters is not None:
                    print(f"{name}: {' · '.join(_plans(connection, filters))}")
            print("\n".join(_all_plans(connection, now)))
        engine.dispose()


if __name__ == "__main__":
    main()
