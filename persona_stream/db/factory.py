"""Factory of the store that the settings describe, and the job that removes expired runs from the log."""

import logging
import os

import gevent

from persona_stream.core.clock import Clock
from persona_stream.core.run_id import min_run_id_at
from persona_stream.core.usage import load_prices
from persona_stream.db.base import Privacy, RetentionSweep, Store
from persona_stream.errors import ConfigurationError
from persona_stream.extras import install_command
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import state_dir

logger = logging.getLogger("persona_stream.store")

MAX_QUEUE_BYTES = 64 * 2**20
SWEEP_INTERVAL = 60.0  # seconds
_DEFAULT_URL = "sqlite:///"


def create_store(settings: Settings, clock: Clock) -> Store:
    """Open the store. Without SQLAlchemy the default database is replaced by a store that keeps nothing.

    Raises:
        ConfigurationError: the configured database cannot be used; the text says what to do.
    """
    if settings.database_url is None:
        return Store()
    try:
        from persona_stream.db import engine, statements, store
    except ImportError:
        if settings.database_url != _DEFAULT_URL:
            raise ConfigurationError(f"database_url needs SQLAlchemy: {install_command('sql')}") from None
        logger.info("conversations and the request log are off: `%s` turns them on", install_command("sql"))
        return Store()
    url = engine.database_url(settings.database_url, state_dir(settings.state_dir, os.environ))
    privacy = Privacy(settings.log_bodies, settings.log_reasoning, settings.history_reasoning)
    write = statements.make_writer(privacy, load_prices(settings.prices))
    try:
        return store.SqlStore(engine.open_engine(url, store.CONNECTIONS), write, clock, max_bytes=MAX_QUEUE_BYTES)
    except OSError as error:
        hint = "set state_dir to a writable folder, or set database_url"
        raise ConfigurationError(f"The database {url.database} cannot be created ({error.strerror}): {hint}") from None


def start_retention_job(store: Store, clock: Clock, *, retention: float, longest: float) -> None:
    """Start the greenlet that removes runs older than ``retention`` seconds from the log, and closes lost runs.

    A run can take ``longest`` seconds; an unfinished run that is older was lost with its process.
    """

    def sweep() -> None:
        while True:
            now = clock()
            store.enqueue(RetentionSweep(min_run_id_at(now - retention), min_run_id_at(now - longest)))
            gevent.sleep(SWEEP_INTERVAL)

    gevent.spawn(sweep)
