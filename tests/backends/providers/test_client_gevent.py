"""Tests of the provider client under gevent's patching, in a process of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ROOT

PROGRAM = Path(__file__).with_name("under_gevent.py")


def scenarios() -> list[str]:
    """Return the names of the scenarios without importing the program, which would patch this process."""
    for node in ast.parse(PROGRAM.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise LookupError("the program has no scenarios")


@pytest.fixture(scope="module")
def program() -> subprocess.CompletedProcess[str]:
    """Run all scenarios in one process, whose start takes longer than most of them."""
    command = [sys.executable, "-W", "error", "-m", "tests.backends.providers.under_gevent", *scenarios()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("scenario", scenarios())
def test_the_scenario_passes_under_gevent(program: subprocess.CompletedProcess[str], scenario: str) -> None:
    """A kill closes the connection at any point; hundreds of queries run at once; native threads share no sockets."""
    assert scenario in program.stdout.split(), program.stderr
    assert program.stderr == ""
