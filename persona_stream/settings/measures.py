"""Kinds of settings that are numbers: counts, sizes, durations."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST = 36_500 * 86_400
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?(ms|s|m|h|d)?", re.ASCII)
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([kmg]?b|[kmg]ib)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Count:
    """A whole number within bounds, both included."""

    least: int = 0
    most: int = 1_000_000_000

    @property
    def expects(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def take(self, value: object) -> int:
        match value:
            case str() if re.fullmatch(r"\d{1,18}", value, re.ASCII):
                return self.take(int(value))
            case int() if not isinstance(value, bool) and self.least <= value <= self.most:
                return value
        raise ValueError

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True)
class Size:
    """A number of bytes above zero: ``1048576``, ``1MiB``, ``1.5 GB``."""

    expects: str = "a number of bytes above 0, like 1048576 or 1 MiB"

    def take(self, value: object) -> int:
        match value:
            case str() if found := _SIZE.fullmatch(value):
                return self.take(round(float(found[1]) * _SIZES[(found[2] or "b").lower()]))
            case int() if not isinstance(value, bool) and 0 < value < 2**60:
                return value
        raise ValueError

    def show(self, value: int) -> str:
        for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if value % size == 0:
                return f"{value // size} {unit}"
        return str(value)


@dataclass(frozen=True)
class Seconds:
    """A duration: ``30``, ``1.5``, ``30s``, ``5m``, ``12h``, ``1d``, at most 100 years."""

    above_zero: bool = False

    @property
    def expects(self) -> str:
        return f"a duration{' above 0' if self.above_zero else ''} like 30, 1.5, 30s, 5m, 12h or 1d"

    def take(self, value: object) -> float:
        match value:
            case str() if found := _DURATION.fullmatch(value):
                return self.take(float(found[1]) * _UNITS[found[2] or "s"])
            case int() | float() if not isinstance(value, bool) and 0 <= value <= _LONGEST:
                if value or not self.above_zero:
                    return abs(float(value))  # there is a zero below zero, which would be shown as -0
        raise ValueError

    def show(self, value: float) -> str:
        for unit in ("d", "h", "m"):
            if value and value % _UNITS[unit] == 0:
                return f"{value / _UNITS[unit]:.0f}{unit}"
        return f"{value:.9f}".rstrip("0").rstrip(".")
