"""Compare what this process runs with what Redis has it run: after a failover, Redis may be as it was some time ago."""

from __future__ import annotations

import logging
from collections.abc import Callable

from persona_stream.core.facts import Failed
from persona_stream.errors import Gone, NotFound
from persona_stream.journals.redis.following import Following
from persona_stream.journals.redis.journal import RedisJournal
from persona_stream.journals.redis.line import Line

logger = logging.getLogger("persona_stream.redis")


class RollCall:
    """Write again what Redis lacks, and end what it has and nobody runs. ``roll`` names its set of our runs."""

    def __init__(self, line: Line, following: Following, roll: str, read: Callable[[str], RedisJournal]) -> None:
        self._line, self._following, self._roll, self._read = line, following, roll, read
        self._strangers: set[str] = set()  # at the last look: those that Redis has, and we do not know

    def check(self, count: int) -> None:
        """Look closer if Redis does not have as many as we.

        Raises:
            Unavailable: Redis is out of reach.
        """
        ours = self._following.run_here
        if count == len(ours):
            self._strangers = set()
            return
        theirs = {name.decode() for name in self._line.ask("SMEMBERS", self._roll)}
        self._following.catch_up(journal for journal in ours if journal.run_id not in theirs)
        # One that is just beginning looks like a stranger too, but not for two looks.
        strangers = theirs - {journal.run_id for journal in self._following.run_here}
        for run_id in strangers & self._strangers:
            self._end(run_id)
        self._strangers = strangers

    def _end(self, run_id: str) -> None:
        logger.warning("Redis has a run that nobody runs: it is ended", extra={"run_id": run_id})
        try:
            has_ended = not self._read(run_id).append(Failed("lost"))
        except (NotFound, Gone):
            has_ended = True
        if has_ended:
            self._line.ask("SREM", self._roll, run_id)
