"""Figures of the worker process."""

from __future__ import annotations

from bench.execution import Row


def test_a_goal_is_judged_by_the_best_round():
    """The worst one stands beside it."""
    assert Row("a token", "µs", 15.0, [15.0, 90.4]).text() == "| a token | ≤ 15 µs | 15 µs | 90 µs | reached |"
    assert Row("a token", "µs", 15.0, [16.0]).text() == "| a token | ≤ 15 µs | 16 µs | 16 µs | **not reached** |"


def test_a_figure_to_compare_with_has_no_goal():
    """Its last column is empty."""
    assert Row("a greenlet", "s", None, [1.234]).text() == "| a greenlet | – | 1.23 s | 1.23 s |  |"
