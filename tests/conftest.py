"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from itertools import chain, groupby, zip_longest
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: a busy machine is no defect. A few examples, always the same ones, show that a law holds; `make e2e`
# tries many others, different each time, but in CI: what that finds must be about the change that is looked at.
settings.register_profile("quick", deadline=None, max_examples=20, derandomize=True)
settings.register_profile(
    "thorough", deadline=None, max_examples=200, print_blob=True, derandomize=os.environ.get("CI") == "true"
)
# `make fuzz` goes on for as long as it is told to, and hands each round its seed: nothing is to be begun with again.
settings.register_profile(
    "long",
    deadline=None,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "1000")),
    print_blob=True,
    database=None,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure() -> None:
    """Let Ctrl-C be tested where a shell has begun the tests in the background, with a signal that is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make what a test has written fit to be sent between processes: some tests log half a surrogate pair."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, a browser's beside servers': the short ones then fill what is left."""
    of_folder: dict[str, list[list[pytest.Item]]] = {"browser": [], "faults": [], "http": [], "": []}
    for file, tests in groupby(items, lambda item: item.path):
        of_folder.get(_folder(file), of_folder[""]).append(list(tests))
    slow = zip_longest(of_folder["browser"], of_folder["faults"], of_folder["http"], fillvalue=[])
    items[:] = chain.from_iterable((*chain.from_iterable(slow), *of_folder[""]))


def _folder(file: Path) -> str:
    return file.parent.name
