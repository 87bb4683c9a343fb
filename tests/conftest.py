"""Hypothesis profiles and hooks for all tests."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator
from itertools import chain, groupby, zip_longest

import pytest
from hypothesis import settings

# No deadline, because a busy machine is no defect. "quick" runs few, fixed examples. "thorough" (`make e2e`) runs many
# random ones, except in CI, where a failure must be caused by the change under test.
settings.register_profile("quick", deadline=None, max_examples=20, derandomize=True)
settings.register_profile(
    "thorough", deadline=None, max_examples=200, print_blob=True, derandomize=os.environ.get("CI") == "true"
)
# `make fuzz` passes a seed to each round and needs no example database.
settings.register_profile(
    "long",
    deadline=None,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "1000")),
    print_blob=True,
    database=None,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the servers of tests away from the state of the user's own server.

    Signals that shells and ``nohup`` ignore in the background get their handlers back, also for these servers.
    """
    state = tempfile.TemporaryDirectory(prefix="persona-stream-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(state.cleanup)
    os.environ["XDG_STATE_HOME"] = state.name
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape the captured output, which xdist sends between processes: some tests log lone surrogates."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, browser and server tests side by side; short files fill the remaining time."""
    by_directory: dict[str, list[list[pytest.Item]]] = {"browser": [], "faults": [], "http": [], "": []}
    for file, tests in groupby(items, lambda item: item.path):
        by_directory.get(file.parent.name, by_directory[""]).append(list(tests))
    slow = zip_longest(by_directory["browser"], by_directory["faults"], by_directory["http"], fillvalue=[])
    items[:] = chain.from_iterable((*chain.from_iterable(slow), *by_directory[""]))
