"""``serve --reload``: run the server in a child process, and start it again when a source file changes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

_EVERY = 0.5  # seconds
_PACKAGE = Path(__file__).resolve().parent.parent
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


def run(arguments: Sequence[str]) -> int:
    """Serve with these arguments, less ``--reload``, again and again; give the exit code of the last time."""
    command = [sys.executable, "-m", "persona_stream", *(word for word in arguments if word != "--reload")]
    seen = _sources()
    child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - our own command, as the user typed it
    try:
        while True:
            time.sleep(_EVERY)
            now = _sources()
            if now != seen:
                seen = now
                click.echo("A source file changed: starting again", err=True)
                _stop(child)
                child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - as above
    except KeyboardInterrupt:
        return _stop(child)
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> int:
    """Stop the child at once: the second signal tells it not to wait for its runs."""
    for _ in range(2):
        if child.poll() is None:
            child.terminate()
            time.sleep(0.1)
    return child.wait()


def _sources() -> dict[Path, int]:
    """Give every source file that may matter, with the moment it was changed."""
    found: dict[Path, int] = {}
    for root in {Path.cwd(), _PACKAGE}:
        for file in root.rglob("*.py"):
            if not any(part in _SKIPPED or part.startswith(".") for part in file.relative_to(root).parts):
                try:
                    found[file] = file.stat().st_mtime_ns
                except FileNotFoundError:  # deleted while we looked
                    continue
    return found
