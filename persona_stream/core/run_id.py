"""Run ids in the ULID layout: sortable by time, unguessable, with the creation time inside.

A run id has 26 characters of Crockford's base 32 in lower case: 48 bits of milliseconds since 1970, then 80 random
bits. The creation time makes it possible to answer "gone" for a run whose journal has been deleted.
"""

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGIT_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_DIGIT_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 26
_TIMESTAMP_LENGTH = 10


def new_run_id(at: float) -> str:
    """Create an id for a run that is created at this moment, in seconds since 1970."""
    number = (int(at * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    return _encode(number)


def timestamp_of(run_id: str) -> float | None:
    """Return the creation time in seconds since 1970, or ``None`` if the text is not a run id."""
    if len(run_id) != _LENGTH or run_id[0] > "7" or not all(letter in _DIGIT_VALUES for letter in run_id):
        return None
    milliseconds = 0
    for letter in run_id[:_TIMESTAMP_LENGTH]:
        milliseconds = milliseconds << 5 | _DIGIT_VALUES[letter]
    return milliseconds / 1000


def min_run_id_at(at: float) -> str:
    """Return the smallest id of this moment: ids that are created later are greater."""
    return _encode(max(0, int(at * 1000)) << 80)


def _encode(number: int) -> str:
    return "".join([_DIGIT_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
