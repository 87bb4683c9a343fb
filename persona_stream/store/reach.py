"""What it looks like when a database is out of reach."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persona_stream.errors import Unavailable

AWAY = (OperationalError, InterfaceError, PoolTimeoutError, OSError)
"""What is raised then. A thread that does not answer in time raises ``TimeoutError``, which is one of the last."""


def unavailable() -> Unavailable:
    """Say so to a client."""
    return Unavailable("The database is out of reach: try again in a moment", retry_after=2)


def said(error: Exception) -> str:
    """Give the first line of what a driver says, which has no values of ours in it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0][:300]
