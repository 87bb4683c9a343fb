"""Wait for a run on behalf of a client that gets its answer at once."""

from __future__ import annotations

import math
from collections.abc import Callable

from flask import Request

from persona_stream.core.projection import SMART
from persona_stream.journals.base import Journal, has_ended
from persona_stream.runs.manager import wait_for_ending
from persona_stream.web.desk import Desk
from persona_stream.web.presence import Presence


class Waiting:
    """Count a client among a run's readers, and look once an interval whether it is still there.

    ``close`` must be called, and may be called again.
    """

    __slots__ = ("_clock", "_journal", "_leave", "_presence")

    def __init__(self, request: Request, desk: Desk, journal: Journal) -> None:
        self._presence = Presence(request.environ)
        self._journal, self._clock = journal, desk.clock
        self._leave: Callable[[], None] | None = desk.runs.join(journal)

    def ended(self, seconds: float = math.inf, is_enough: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the run has ended, the client is gone, the time is over or it ``is_enough``.

        Returns:
            whether the run has ended.
        """
        wait_for_ending(self._journal, self._clock, seconds, lambda: self.gone() or is_enough(), every=SMART.interval)
        return has_ended(self._journal)

    def gone(self) -> bool:
        """Tell whether the client is gone."""
        return self._presence.gone()

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            self._presence.release()
            leave()
