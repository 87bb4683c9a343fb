"""Where several processes count together: each in files of its own, in a folder that all of them read.

The library looks for the folder when it is imported, and from then on counts in memory or in files. So it must be
named before, and nothing here imports the library before that.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # the library's own


@contextmanager
def multiprocess_dir() -> Iterator[None]:
    """Have this process and its children count together, in a new folder that goes when this process leaves."""
    folder, owner = tempfile.mkdtemp(prefix="persona-stream-metrics-"), os.getpid()
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        # A child that was forked within the block leaves it too, while the others still count.
        if os.getpid() == owner:
            del os.environ[FOLDER_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)


def mark_process_dead(pid: int) -> None:
    """Take what a dead process had under way out of the sums; what it has counted stays."""
    if find_spec("prometheus_client") is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)
