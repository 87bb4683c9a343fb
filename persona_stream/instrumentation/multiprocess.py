"""Directory in which several processes of a server keep their metrics; each has its own files, and all read them.

Invariants:
    * This module does not import prometheus_client: the library reads the environment variable when it is imported,
      and counts in memory or in files from then on.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # defined by prometheus_client


@contextmanager
def multiprocess_dir() -> Iterator[None]:
    """Share metrics between this process and its children, in a new directory that is removed at the end."""
    directory = tempfile.mkdtemp(prefix="persona-stream-metrics-")
    owner = os.getpid()
    os.environ[DIRECTORY_VARIABLE] = directory
    try:
        yield
    finally:
        # A child that was forked inside the block leaves it too, while the other processes still need the directory.
        if os.getpid() == owner:
            del os.environ[DIRECTORY_VARIABLE]
            shutil.rmtree(directory, ignore_errors=True)
