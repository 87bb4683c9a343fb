"""Open the store that the settings ask for.

Let the log forget what is old, and end in it what nobody can end any more.
"""

from __future__ import annotations

import logging
import os

import gevent

from persona_stream.core.clock import Clock
from persona_stream.core.run_id import min_run_id_at
from persona_stream.core.usage import load_prices
from persona_stream.db.base import NullStore, Store
from persona_stream.db.records import Privacy, RetentionSweep
from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import state_dir

logger = logging.getLogger("persona_stream.store")

_MOST_BYTES = 64 * 2**20
_EMBEDDED = "sqlite:///"


def create_store(settings: Settings, clock: Clock) -> Store:
    """Open it; where nobody asked for one and none can be had, say so and keep nothing.

    Raises:
        ConfigurationError: the one that was asked for is not to be had; the text says what to do.
    """
    if settings.database_url is None:
        return NullStore()
    try:
        from persona_stream.db import engine
        from persona_stream.db import statements as writing
        from persona_stream.db import store as sql
    except ImportError:
        if settings.database_url != _EMBEDDED:
            raise ConfigurationError('database_url needs SQLAlchemy: pip install "persona_stream[sql]"') from None
        logger.info('no conversations and no request log are kept: pip install "persona_stream[sql]" for them')
        return NullStore()
    url = engine.database_url(settings.database_url, state_dir(settings.state_dir, os.environ))
    write = writing.make_writer(Privacy(settings.log_bodies, settings.log_reasoning), load_prices(settings.prices))
    try:
        return sql.SqlStore(engine.open_engine(url, sql.CONNECTIONS), write, clock, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"The database {url.database} cannot be kept ({error.strerror}): set state_dir to a folder that can be "
            "written, or database_url"
        ) from None


_EVERY = 60.0  # seconds


def start_retention_job(store: Store, clock: Clock, *, retention: float, longest: float) -> None:
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
            store.enqueue(RetentionSweep(min_run_id_at(now - retention), min_run_id_at(now - longest)))
            gevent.sleep(_EVERY)

    gevent.spawn(forget)
