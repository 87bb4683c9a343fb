"""Tests of the command line of the benchmarks."""

from __future__ import annotations

from bench.__main__ import parse_arguments


def test_a_run_is_complete_with_the_default_load() -> None:
    """The number of rounds and the file of the report leave it complete."""
    complete = ([], ["--rounds", "1"], ["--rounds", "1", "--write", "report.md"])
    assert [parse_arguments(arguments)[1] for arguments in complete] == [True] * len(complete)
    partial = (["--quick"], ["--large"], ["--only", "go"], ["--seconds", "5"], ["--streams", "1000"])
    assert [parse_arguments(arguments)[1] for arguments in partial] == [False] * len(partial)
