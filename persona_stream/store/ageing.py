"""Let the log forget what is old, and end in it what nobody can end any more."""

from __future__ import annotations

import gevent

from persona_stream.core import run_id as runid
from persona_stream.core.clock import Clock
from persona_stream.store import Store
from persona_stream.store.records import LogAged

_EVERY = 60.0  # seconds


def age(store: Store, clock: Clock, *, retention: float, longest: float) -> None:
    """Do so from now on, in a greenlet.

    Args:
        store: what keeps the log.
        clock: tells the moment.
        retention: how long a run stays in the log, in seconds.
        longest: how long one can take, in seconds: after that, the process that ran it has died.
    """

    def forget() -> None:
        while True:
            now = clock()
            store.keep(LogAged(runid.earliest(now - retention), runid.earliest(now - longest)))
            gevent.sleep(_EVERY)

    gevent.spawn(forget)
