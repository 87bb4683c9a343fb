"""Counts of runs as a server reports them: in its metrics and in its request log."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.faults.run_ledger import Counts, Ending
from tests.metrics_client import families
from tests.server_process import ServerProcess


def counts_from_metrics(server: ServerProcess) -> Counts:
    """Return the counts in ``/metrics``."""
    began = 0
    refused = 0
    ended: Counter[Ending] = Counter()
    for family in families(server.get("/metrics", None).text):
        for sample in family.samples:
            labels = sample.labels
            match sample.name.removeprefix("persona_stream_"):
                case "runs_started_total":
                    began += int(sample.value)
                case "runs_ended_total":
                    ended[Ending(labels["status"], labels["code"])] += int(sample.value)
                case "refusals_total" if labels["status"] == "429":
                    refused += int(sample.value)
                case _:
                    pass
    return Counts(began, ended, refused)


def counts_from_log(file: Path) -> Counts:
    """Return the counts in the request log of a stopped server; it has no rejected requests."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT status, coalesce(code, 'none'), count(*) FROM runs GROUP BY 1, 2").fetchall()
    ended = {Ending(status, code): count for status, code, count in found}
    return Counts(sum(ended.values()), {each: n for each, n in ended.items() if each.status != "processing"}, 0)
