"""Open the store that the settings ask for.

Let the log forget what is old, and end in it what nobody can end any more.
"""

from __future__ import annotations

import logging
import os

import gevent

from persona_stream.core import run_id as runid
from persona_stream.core.clock import Clock
from persona_stream.core.usage import price_list
from persona_stream.db.base import NoStore, Store
from persona_stream.db.records import LogAged, Privacy
from persona_stream.errors import StartError
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import state_dir

logger = logging.getLogger("persona_stream.store")

_MOST_BYTES = 64 * 2**20
_EMBEDDED = "sqlite:///"


def open_store(settings: Settings, clock: Clock) -> Store:
    """Open it; where nobody asked for one and none can be had, say so and keep nothing.

    Raises:
        StartError: the one that was asked for is not to be had; the text says what to do.
    """
    if settings.database_url is None:
        return NoStore()
    try:
        from persona_stream.db import engine
        from persona_stream.db import statements as writing
        from persona_stream.db import store as sql
    except ImportError:
        if settings.database_url != _EMBEDDED:
            raise StartError('database_url needs SQLAlchemy: pip install "persona_stream[sql]"') from None
        logger.info('no conversations and no request log are kept: pip install "persona_stream[sql]" for them')
        return NoStore()
    url = engine.address(settings.database_url, state_dir(settings.state_dir, os.environ))
    write = writing.writer(Privacy(settings.log_bodies, settings.log_reasoning), price_list(settings.prices))
    try:
        return sql.SqlStore(engine.engine(url, sql.CONNECTIONS), write, clock, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise StartError(
            f"The database {url.database} cannot be kept ({error.strerror}): set state_dir to a folder that can be "
            "written, or database_url"
        ) from None


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
