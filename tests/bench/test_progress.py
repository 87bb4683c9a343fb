"""Replay of percentages and remaining times."""

from __future__ import annotations

import json
import random

import pytest

from bench import progress


@pytest.mark.parametrize("name", progress.LOADS)
def test_the_percentage_is_nearly_as_good_as_the_best_curve(name):
    """After fifty runs; at most 2 % of the time at the end, and the range covers about 80 %."""
    load = progress.LOADS[name]
    source = random.Random(7)
    test = [load(source) for _ in range(100)]
    oracle = progress._measure(progress._oracle([load(source) for _ in range(1000)]), test)
    estimates = (progress._estimate(progress._history(load(source) for _ in range(50))) for _ in range(4))
    measured = progress._summarize([progress._measure(estimate, test) for estimate in estimates])
    assert measured.error <= 1.1 * oracle.error
    assert measured.stuck <= 2.0
    assert 75.0 <= measured.coverage <= 92.0
    assert measured.has_eta >= 90.0


def test_a_request_log_is_replayed_by_backend(tmp_path, capsys):
    """As ``persona-stream runs list --json`` prints it, newest first."""
    rows = [
        {"backend": backend, "username": "Ada", "accepted_at": 1e9 + n, "status": status, "processing": 10.0 + n % 3}
        for backend, status, count in (("default", "complete", 20), ("slow", "error", 5))
        for n in range(count)
    ]
    log = tmp_path / "runs.jsonl"
    log.write_text("\n".join(json.dumps(row) for row in reversed(rows)))
    progress.run(log)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| default | 20 | ")
