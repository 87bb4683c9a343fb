"""Lease of this process: a heartbeat in Redis that other processes check, so that the runs of a dead one end."""

import logging
from collections.abc import Callable

import gevent

from persona_stream.core.clock import Clock
from persona_stream.errors import Unavailable
from persona_stream.journals.redis.connection import RedisConnection
from persona_stream.journals.redis.scripts import LEAVE, RENEW, ScriptCalls

logger = logging.getLogger("persona_stream.redis")

_RETRY_DELAY = 0.5  # seconds


class Lease:
    """Lease that is renewed periodically, together with ending the runs of processes that stopped renewing theirs.

    ``on_renewed`` is called after each renewal with the number of runs that Redis has of this process, ``on_attempt``
    after each attempt, also a failed one. Both may wait.
    """

    def __init__(
        self,
        connection: RedisConnection,
        calls: ScriptCalls,
        clock: Clock,
        *,
        on_renewed: Callable[[int], None],
        on_attempt: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._calls = calls
        self._clock = clock
        self._on_renewed = on_renewed
        self._on_attempt = on_attempt
        self._is_registered = False
        self.renewed_at = clock()
        self.process_count = 1  # at the last renewal, with this one

    def start(self) -> None:
        """Start the greenlet that renews the lease."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Stop renewing the lease."""
        self._greenlet.kill()

    def leave(self) -> None:
        """Return the lease: this process executes no run any more."""
        try:
            self._connection.run_script(LEAVE, *self._calls.leave())
        except Unavailable:
            logger.info("cannot return the lease; it will expire")

    def _serve(self) -> None:
        while True:
            began = self._clock()
            try:
                self._on_renewed(self._renew())
            except Unavailable:
                delay = _RETRY_DELAY  # the connection has logged the reason
            else:
                delay = self._calls.renewal_interval
                self.renewed_at = self._clock()
            self._on_attempt()
            gevent.sleep(max(0.0, began + delay - self._clock()))

    def _renew(self) -> int:
        while True:
            reply = self._connection.run_script(RENEW, *self._calls.renew())
            is_known, ended_count, has_more, run_count, self.process_count = reply
            if ended_count:
                logger.warning("ended %d runs of a dead process", ended_count)
            if self._is_registered and not is_known:
                logger.warning("Redis did not know this process: checking its runs")
            self._is_registered = True
            if not has_more:
                return int(run_count)
