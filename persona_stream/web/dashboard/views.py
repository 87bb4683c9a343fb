"""What the page of the dashboard is told. Moments are seconds since 1970: it draws with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from persona_stream.db.models import Chart, Choices, RunRecord, RunRow, RunTexts


class Session(Struct, frozen=True, kw_only=True):
    """Who has logged in, ``None`` if nobody, and whether there is a log to look at."""

    success: Literal[True] = True
    user: str | None
    has_log: bool


class Page(Struct, frozen=True, kw_only=True):
    """A page of runs; ``next`` is the ``before`` of the next one, ``now`` the server's moment."""

    success: Literal[True] = True
    runs: Sequence[RunRow]
    next: str | None
    now: float


class Shown(Struct, frozen=True, kw_only=True):
    """All that is kept of a run, and where it can be read, as long as it can."""

    success: Literal[True] = True
    run: RunRecord
    texts: RunTexts
    events_url: str | None
    now: float


class Drawn(Struct, frozen=True, kw_only=True):
    """A time in numbers."""

    success: Literal[True] = True
    chart: Chart
    now: float


class Chosen(Struct, frozen=True, kw_only=True):
    """What runs can be filtered by."""

    success: Literal[True] = True
    choices: Choices


class Done(Struct, frozen=True, kw_only=True):
    """It is done."""

    success: Literal[True] = True
