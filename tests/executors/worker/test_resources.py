"""Resources that the queries of a process use up."""

from __future__ import annotations

import errno

import pytest

from persona_stream.executors.worker.resources import find_exhausted, is_exhaustion


def caused_by(cause: BaseException) -> Exception:
    """Return an exception of a library, with its cause."""
    error = ConnectionError("the provider is unreachable")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_suspicious"),
    [
        (MemoryError(), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (RuntimeError("can't start new thread"), True),
        (caused_by(OSError(errno.EMFILE, "Too many open files")), True),
        (OSError(errno.ENOENT, "No such file"), False),
        (RuntimeError("no"), False),
        (caused_by(ValueError()), False),
    ],
    ids=repr,
)
def test_an_exception_or_its_cause_makes_a_process_suspect(error: BaseException, is_suspicious: bool):
    """Libraries raise their own exception from that of the system."""
    assert is_exhaustion(error) is is_suspicious


def test_a_cycle_of_causes_ends():
    """A library may raise an exception again that it has kept."""
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert not is_exhaustion(first)


def test_an_ordinary_process_has_some_of_each():
    """Like this one."""
    assert find_exhausted() is None
