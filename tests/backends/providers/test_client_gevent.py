from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("under_gevent.py")


def scenarios() -> list[str]:
    """Read their names without importing the program, which would patch this process."""
    for node in ast.parse(PROGRAM.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise LookupError("the program has no scenarios")


@pytest.fixture(scope="module")
def program() -> subprocess.CompletedProcess[str]:
    """Run all of them in one process: to start one takes longer than most of them do."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *scenarios()]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("scenario", scenarios())
def test_what_must_hold_under_gevent(program: subprocess.CompletedProcess[str], scenario: str) -> None:
    """A kill closes the connection wherever it strikes; hundreds ask at once; native threads share no sockets."""
    assert scenario in program.stdout.split(), program.stderr
    assert program.stderr == ""
