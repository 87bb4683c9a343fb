"""Say every few seconds that this process lives, and end the runs of those that do not.

Compare what this process runs with what Redis has it run: after a failover, Redis may be as it was some time ago.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from persona_stream.core.clock import Clock
from persona_stream.core.facts import Failed
from persona_stream.errors import Gone, NotFound, Unavailable
from persona_stream.journals.redis.connection import RedisConnection
from persona_stream.journals.redis.journal import RedisJournal
from persona_stream.journals.redis.scripts import LEAVE, RENEW, Commands
from persona_stream.journals.redis.subscriber import JournalSubscriber

logger = logging.getLogger("persona_stream.redis")

_AGAIN = 0.5  # seconds between attempts while Redis is out of reach


class Lease:
    """Keep the lease of this process.

    ``on_unknown`` is called when Redis did not know it any more: it was taken for dead, or Redis was emptied;
    ``on_renewed`` with the number of runs that Redis has it run; and ``on_beat`` at each renewal, also a failed one.
    They may wait.
    """

    def __init__(
        self,
        line: RedisConnection,
        commands: Commands,
        clock: Clock,
        on_forgotten: Callable[[], None],
        on_renewed: Callable[[int], None],
        on_renewal: Callable[[], None],
    ) -> None:
        self._line, self._commands, self._clock = line, commands, clock
        self._on_unknown, self._on_renewed, self._on_beat = on_forgotten, on_renewed, on_renewal
        self.renewed_at = clock()  # when it was last known to be alive
        self.processes = 1  # that were alive then, with this one

    def start(self) -> None:
        """Begin to renew."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Do nothing any more."""
        self._greenlet.kill()

    def leave(self) -> None:
        """Give it back: this process runs nothing any more."""
        try:
            self._line.run_script(LEAVE, *self._commands.leave())
        except Unavailable:
            logger.info("the lease was not given back: it will run out")

    def _serve(self) -> None:
        first = True
        while True:
            began = self._clock()
            try:
                known, count = self._renew()
                if known or first:
                    self._on_renewed(count)
            except Unavailable:
                wait = _AGAIN  # the line has said so
            else:
                wait = self._commands.renewal
                if not known and not first:
                    logger.warning("Redis did not know this process any more: its runs are looked at again")
                    self._on_unknown()
                self.renewed_at, first = self._clock(), False
            self._on_beat()
            gevent.sleep(max(0.0, began + wait - self._clock()))

    def _renew(self) -> tuple[bool, int]:
        while True:
            known, ended, more, count, self.processes = self._line.run_script(RENEW, *self._commands.renew())
            if ended:
                logger.warning("%d runs of a process that died were ended", ended)
            if not more:
                return bool(known), count


logger = logging.getLogger("persona_stream.redis")


class Reconciler:
    """Write again what Redis lacks, and end what it has and nobody runs. ``roll`` names its set of our runs."""

    def __init__(
        self, line: RedisConnection, following: JournalSubscriber, roll: str, read: Callable[[str], RedisJournal]
    ) -> None:
        self._line, self._following, self._roll, self._read = line, following, roll, read
        self._strangers: set[str] = set()  # at the last look: those that Redis has, and we do not know

    def reconcile(self, count: int) -> None:
        """Look closer if Redis does not have as many as we.

        Raises:
            Unavailable: Redis is out of reach.
        """
        ours = self._following.local_runs
        if count == len(ours):
            self._strangers = set()
            return
        theirs = {name.decode() for name in self._line.execute("SMEMBERS", self._roll)}
        self._following.refresh(journal for journal in ours if journal.run_id not in theirs)
        # One that is just beginning looks like a stranger too, but not for two looks.
        strangers = theirs - {journal.run_id for journal in self._following.local_runs}
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
            self._line.execute("SREM", self._roll, run_id)
