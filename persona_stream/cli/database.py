"""The database that the settings name, for commands that look into it beside a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from persona_stream.cli.options import loaded
from persona_stream.db import engine
from persona_stream.db import migrate as schema
from persona_stream.errors import StartError
from persona_stream.state_dir import state_dir

SETTINGS = ("database_url", "state_dir")


@contextmanager
def opened(options: Mapping[str, Any], *, any_version: bool = False) -> Iterator[Engine]:
    """Give the database until the end of the block.

    Args:
        options: of the command.
        any_version: also one whose tables are of another release, or that has none.

    Raises:
        StartError: there is none, or it does not fit; the text says what to do.
    """
    settings = loaded(options)
    if settings.database_url is None:
        raise StartError("database_url is off: there is no log to look into")
    url = engine.address(settings.database_url, state_dir(settings.state_dir, os.environ))
    if url.get_backend_name() == "sqlite" and not any_version and not Path(url.database or "").exists():
        raise StartError(f"There is no database at {url.database} yet: a server with these settings makes it")
    made = engine.engine(url, 1)
    try:
        if not any_version and (version := schema.version_of(made)) != schema.NEWEST:
            raise StartError(f"The tables are of another release ({version}): run `persona-stream db upgrade`")
        yield made
    except DBAPIError as error:
        raise StartError(f"The database does not answer: {str(error.orig).partition(chr(10))[0]}") from None
    finally:
        made.dispose()
