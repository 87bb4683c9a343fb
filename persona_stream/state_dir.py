"""State directory, and the signing secret that is generated when none is configured."""

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings

_FILE_NAME = "secret"
_GENERATED_SECRET = re.compile(r"[A-Za-z0-9_-]{43,}")


def state_dir(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the directory for state that survives a restart: the configured one, else the platform's.

    Source: XDG Base Directory Specification, which says to ignore a relative ``XDG_STATE_HOME``.

    Raises:
        ConfigurationError: there is no home directory.
    """
    if configured is not None:
        return configured
    home = environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return Path(home) / "persona_stream"
    try:
        return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "persona_stream"
    except RuntimeError:
        raise ConfigurationError(
            "There is no home directory for the generated secret: set state_dir or jwt_secret"
        ) from None


def get_signing_secret(settings: Settings, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the configured secret, else the generated one, and whether it was generated now.

    Raises:
        ConfigurationError: see ``state_dir`` and ``load_or_create_secret``.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret, False
    return load_or_create_secret(state_dir(settings.state_dir, environ))


def find_signing_secret(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Return the configured secret, else the one that a server generated here; ``None`` if there is none.

    Raises:
        ConfigurationError: the secret cannot be read.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret
    file = state_dir(settings.state_dir, environ) / _FILE_NAME
    try:
        return _read_secret(file) if file.exists() else None
    except OSError as error:
        raise ConfigurationError(f"Cannot read the secret {file} ({error.strerror})") from None


def load_or_create_secret(folder: Path) -> tuple[str, bool]:
    """Return the secret in this directory, and whether it was generated now.

    Processes that start at the same time get the same secret: only one of them creates the file, and it appears whole.

    Raises:
        ConfigurationError: the directory is not writable, or other users can read the secret.
    """
    file = folder / _FILE_NAME
    try:
        is_new = not file.exists() and _create_secret(file)
        return _read_secret(file), is_new
    except OSError as error:
        raise ConfigurationError(
            f"Cannot store the secret in {file} ({error.strerror}): set state_dir to a writable directory, "
            "or set jwt_secret"
        ) from None


def _create_secret(file: Path) -> bool:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secret-")  # mode 600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A link fails where a rename would replace the file that another process has just created.
        file.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _read_secret(file: Path) -> str:
    with file.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_mode & 0o077:
            raise ConfigurationError(
                f"Other users can read the secret {file}: run `chmod 600 {file}`, or delete it to generate a new one"
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(
                f"The secret {file} belongs to another user: delete it to generate a new one, or set state_dir"
            )
        text = stream.read(1024).decode("ascii", "replace").strip()
    if not _GENERATED_SECRET.fullmatch(text):
        raise ConfigurationError(f"The secret {file} is damaged: delete it to generate a new one")
    return text
