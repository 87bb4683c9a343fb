"""API keys: credentials of callers that cannot create a JSON Web Token, kept as hashes in a TOML file.

    [[keys]]
    hash = "3f9a1c2b…"                     # SHA-256 of the key, in hexadecimal
    user = "alice"
    scopes = ["chat"]
    created = 2026-12-01T09:00:00Z
    expires = 2027-03-01T09:00:00Z         # optional

Invariants:

- The file has hashes only. A key has 256 random bits, so that guessing is hopeless and a plain hash suffices.
- Writers lock the directory, write a new file and rename it, so that no reader sees half a file and no key is lost.
- A key that the file no longer has is invalid at the next request.
"""

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from persona_stream.auth.base import Verifier, invalid_token, is_valid_subject, require_valid_subject
from persona_stream.core.clock import Clock
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError

logger = logging.getLogger("persona_stream.auth")

KEY_PREFIX = "psk_"  # by which secret scanners, and this package, recognise a key
_KEY_BYTES = 32
_ID_CHARACTERS = 12
_NOTICE = "# Written by `persona-stream key`, which keeps no comments. Servers notice changes at the next request.\n"

FileVersion = tuple[int, int, int]
"""Inode, size and time of modification, which change with the content."""

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entry of the file: the hash of a key and its permissions."""

    hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    user: str
    created: Time
    scopes: tuple[str, ...] = ("chat",)
    expires: Time | None = None

    @property
    def id(self) -> str:
        """Public name of the key: the beginning of its hash."""
        return self.hash[:_ID_CHARACTERS]

    def is_expired(self, now: float) -> bool:
        """Return whether the key has expired at this time."""
        return self.expires is not None and self.expires.timestamp() <= now


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: tuple[ApiKey, ...] = ()


def create_api_key(user: str, scopes: Sequence[str], expires: float | None, now: float) -> tuple[str, ApiKey]:
    """Create a key, valid for ``expires`` seconds, and its entry in the file.

    Raises:
        ValueError: the user is not valid.
    """
    require_valid_subject(user)
    secret = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    created = datetime.fromtimestamp(int(now), UTC)
    until = None if expires is None else datetime.fromtimestamp(int(now + expires), UTC)
    return secret, ApiKey(_hash(secret), user, created, tuple(scopes), until)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyFile:
    """TOML file of API keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def version(self) -> FileVersion | None:
        """Return the version of the file; ``None`` if there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def load(self) -> Sequence[ApiKey]:
        """Return the keys of the file; none if there is no file.

        Raises:
            ConfigurationError: the file cannot be read, or is not a valid file of keys.
        """
        try:
            keys = msgspec.convert(tomllib.loads(self.path.read_text("utf-8")), _File).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigurationError(f"api_keys: cannot read {self.path}: {error.strerror}") from None
        except ValueError as error:
            raise ConfigurationError(f"api_keys: {self.path} is not a valid file of keys: {error}") from None
        if invalid := [key.id for key in keys if not is_valid_subject(key.user)]:
            raise ConfigurationError(f"api_keys: {self.path}: the user of the key {invalid[0]} is not valid")
        return keys

    def add(self, key: ApiKey) -> None:
        """Add a key.

        Raises:
            ConfigurationError: the file cannot be read or written.
        """
        with self._locked():
            self._write((*self.load(), key))

    def remove(self, key_id: str) -> ApiKey:
        """Remove the key with this id and return it.

        Raises:
            KeyError: there is no such key.
            ConfigurationError: the file cannot be read or written.
        """
        with self._locked():
            keys = self.load()
            removed = next((key for key in keys if key.id == key_id), None)
            if removed is None:
                raise KeyError(key_id)
            self._write([key for key in keys if key is not removed])
        return removed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigurationError(f"api_keys: cannot write {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, keys: Sequence[ApiKey]) -> None:
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")  # mode 600
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                    stream.write("\n".join([_NOTICE, *map(_format_key, keys)]))
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"api_keys: cannot write {self.path}: {error.strerror}") from None


def _format_key(key: ApiKey) -> str:
    """Return the entry of a key in TOML, whose texts are JSON's for valid users."""
    lines = ["[[keys]]", f'hash = "{key.hash}"', f"user = {json.dumps(key.user, ensure_ascii=False)}"]
    lines += [f"scopes = {json.dumps(key.scopes)}", f"created = {key.created.isoformat()}"]
    lines += [f"expires = {key.expires.isoformat()}"] if key.expires else []
    return "\n".join([*lines, ""])


class ApiKeyVerifier:
    """Verifier of API keys; any other credential goes to ``others``.

    Raises:
        ConfigurationError: there is no valid file of keys.
    """

    def __init__(self, file: KeyFile, clock: Clock, others: Verifier) -> None:
        self._file = file
        self._clock = clock
        self._others = others
        self._version = file.version()
        if self._version is None:
            hint = f"create a key with `persona-stream key create --user NAME --api-keys {file.path}`"
            raise ConfigurationError(f"api_keys: there is no file {file.path}: {hint}")
        self._keys = _index(file.load())

    def verify(self, token: str) -> Principal:
        """Return the caller that a key or token belongs to.

        Raises:
            Unauthorized: the key is unknown or expired, or the token is not valid.
        """
        if not token.startswith(KEY_PREFIX):
            return self._others.verify(token)
        key = self._find(token)
        return Principal(key.user, frozenset(key.scopes))

    def expiry(self, token: str) -> float | None:
        """Return when a verified key or token expires; ``None`` for never."""
        if not token.startswith(KEY_PREFIX):
            return self._others.expiry(token)
        expires = self._find(token).expires
        return None if expires is None else expires.timestamp()

    def _find(self, token: str) -> ApiKey:
        self._reload()
        digest = _hash(token)
        for key in self._keys.get(digest[:_ID_CHARACTERS], ()):
            if hmac.compare_digest(key.hash, digest):
                if key.is_expired(self._clock()):
                    raise invalid_token("The API key has expired")
                return key
        raise invalid_token("The API key is unknown or was revoked")

    def _reload(self) -> None:
        version = self._file.version()
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = _index(self._file.load())
        except ConfigurationError as error:
            # One typing error must not lock out every caller.
            logger.error("%s; the keys that were read before stay valid", error)  # noqa: TRY400 - the text is complete
        else:
            logger.info("read the API keys in %s again: %d keys", self._file.path, sum(map(len, self._keys.values())))


def _index(keys: Sequence[ApiKey]) -> Mapping[str, Sequence[ApiKey]]:
    """Return the keys by id, which is public, so that only the rest of a hash needs comparison in constant time."""
    by_id: defaultdict[str, list[ApiKey]] = defaultdict(list)
    for key in keys:
        by_id[key.id].append(key)
    return by_id
