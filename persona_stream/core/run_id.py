"""Names of runs: they sort by time, cannot be guessed, and say when they began.

A name is 26 characters of Crockford's base 32, lower case: 48 bits of milliseconds since 1970, then 80 random
bits (the ULID layout). That it carries its beginning lets us answer "gone" for a run that nobody remembers.
"""

from __future__ import annotations

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH, _TIME_LENGTH = 26, 10


def new_run_id(at: float) -> str:
    """Make a name for a run that begins at this moment, in seconds since 1970."""
    number = (int(at * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    return _written(number)


def timestamp_of(run_id: str) -> float | None:
    """Give the moment that a name carries, or ``None`` if it is no name of ours."""
    if len(run_id) != _LENGTH or run_id[0] > "7" or not all(letter in _VALUE for letter in run_id):
        return None
    milliseconds = 0
    for letter in run_id[:_TIME_LENGTH]:
        milliseconds = milliseconds << 5 | _VALUE[letter]
    return milliseconds / 1000


def min_run_id_at(at: float) -> str:
    """Give the first name of those for runs that begin at this moment: any later one is greater."""
    return _written(max(0, int(at * 1000)) << 80)


def _written(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
