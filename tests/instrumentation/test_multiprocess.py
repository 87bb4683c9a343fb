"""The folder where several processes count together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_stream.instrumentation.multiprocess import DIRECTORY_VARIABLE, multiprocess_dir
from tests.documents import ROOT


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put it where the test can look, with nobody's variable before it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)


def test_the_folder_is_named_private_and_gone_afterwards(tmp_path: Path):
    """With all that was counted in it."""
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
from persona_stream.instrumentation.multiprocess import DIRECTORY_VARIABLE, multiprocess_dir

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


def test_a_child_that_leaves_takes_nothing_away():
    """The others go on counting, until the one that began leaves."""
    done = subprocess.run([sys.executable, "-uc", _FORKING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", "False"]
