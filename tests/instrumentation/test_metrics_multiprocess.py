"""The directory of metrics of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_stream.instrumentation.metrics import DIRECTORY_VARIABLE, multiprocess_dir
from tests.documents import ROOT


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create the directory below the test's own, without an inherited variable."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)


def test_the_directory_is_private_and_removed_at_the_end(tmp_path: Path):
    """It is removed with the metrics in it."""
    with multiprocess_dir():
        folder = Path(os.environ[DIRECTORY_VARIABLE])
        (folder / "counter_1.db").touch()
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0
    assert DIRECTORY_VARIABLE not in os.environ
    assert not folder.exists()


_FORKING = """
import os
from pathlib import Path
from persona_stream.instrumentation.metrics import DIRECTORY_VARIABLE, multiprocess_dir

try:
    with multiprocess_dir():
        folder = Path(os.environ[DIRECTORY_VARIABLE])
        child = os.fork()
        if not child:
            raise SystemExit
        os.waitpid(child, 0)
        print(folder.is_dir())
except SystemExit:
    os._exit(0)
print(folder.is_dir())
"""


def test_a_child_that_exits_keeps_the_directory():
    """The directory stays until its owner leaves the block."""
    done = subprocess.run([sys.executable, "-uc", _FORKING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", "False"]
