"""Module that patches its process, as a script does that also serves its application."""

from __future__ import annotations

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import subprocess
import threading


def ask(message: str) -> str:
    """Return whether the process is patched, after a subprocess and a thread."""
    thread = threading.Thread(target=subprocess.run, args=(["true"],))
    thread.start()
    thread.join()
    return "patched" if monkey.is_module_patched("threading") else "not patched"
