"""The state folder, and the secret that is made when none is configured."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings

_FILE = "secret"
_MADE = re.compile(r"[A-Za-z0-9_-]{43,}")


def state_dir(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Give the folder that holds what outlives a restart: the configured one, else the platform's.

    Source: the XDG Base Directory Specification, by which a relative ``XDG_STATE_HOME`` counts as none.

    Raises:
        ConfigurationError: there is no home folder to put it in.
    """
    if configured is not None:
        return configured
    home = environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return Path(home) / "persona_stream"
    try:
        return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "persona_stream"
    except RuntimeError:
        raise ConfigurationError("There is no home folder for the made secret: set state_dir or jwt_secret") from None


def get_signing_secret(settings: Settings, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Give the configured secret, else the made one, and whether it was made just now.

    Raises:
        ConfigurationError: as in ``state_dir`` and ``secret``.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret, False
    return load_or_create_secret(state_dir(settings.state_dir, environ))


def load_or_create_secret(folder: Path) -> tuple[str, bool]:
    """Give the made secret of this folder, and whether it was made just now.

    Processes that start at once get the same one: the file appears whole, under a name that only one of them wins.

    Raises:
        ConfigurationError: the folder cannot be written, or others can read the secret.
    """
    file = folder / _FILE
    try:
        made = not file.exists() and _make(file)
        return _read(file), made
    except OSError as error:
        raise ConfigurationError(
            f"The secret {file} cannot be kept ({error.strerror}): set state_dir to a folder that can be written, "
            "or set jwt_secret"
        ) from None


def _make(file: Path) -> bool:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secret-")  # readable by its owner alone
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A link fails where a rename would replace what another process has just put there.
        file.hardlink_to(unfinished)
    except FileExistsError:
        return False
    finally:
        unfinished.unlink()
    return True


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigurationError(
                f"Others can read the secret {file}: run `chmod 600 {file}`, or delete it for a new one"
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(
                f"The secret {file} belongs to another user: delete it for a new one, or set state_dir"
            )
        text = stream.read(1024).decode("ascii", "replace").strip()
    if not _MADE.fullmatch(text):
        raise ConfigurationError(f"The secret {file} is damaged: delete it for a new one")
    return text
