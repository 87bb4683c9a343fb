"""Verification keys, and the algorithms that each can be used with.

Invariants:

- The kind of a key decides which algorithms fit; a token's header only selects among those. So ``none`` never fits,
  and a public key is never used as the secret of an HMAC.
- An HMAC secret is at least as long as the hash (RFC 7518 §3.2), an RSA key at least 2048 bits.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt

from persona_stream.errors import ConfigurationError
from persona_stream.extras import install_command
from persona_stream.settings.types import PUBLIC_ALGORITHMS, SYMMETRIC_ALGORITHMS


class KeySource(Protocol):
    """Source of keys for the accepted ``algorithms``; each may be used for ``max_age`` seconds."""

    algorithms: Sequence[str]
    max_age: float

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the keys that may have signed a token with this untrusted key id, or none. May do I/O.

        Raises:
            Unavailable: the source cannot be reached, and no keys are known from before.
        """


class FixedKeys:
    """One configured key, by each algorithm that it is used with."""

    max_age = float("inf")

    def __init__(self, by_algorithm: Mapping[str, Any]) -> None:
        self.algorithms: Sequence[str] = tuple(by_algorithm)
        self._by_algorithm = by_algorithm

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Return the key for any ``kid``."""
        return (self._by_algorithm[algorithm],)


def keys_from_secret(secret: str, allowed: Sequence[str]) -> FixedKeys:
    """Return the keys for an HMAC secret, limited to the ``allowed`` algorithms if there are any.

    Raises:
        ConfigurationError: the secret is too short or a public key, or none of ``allowed`` fits.
    """
    if (size := len(secret.encode())) < 32:
        hint = "generate one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        raise ConfigurationError(f"jwt_secret has {size} bytes; it needs at least 32: {hint}")
    if not (keys := usable_keys(secret, SYMMETRIC_ALGORITHMS)):
        raise ConfigurationError("jwt_secret is a public key, which is no secret: set jwt_public_key instead")
    return FixedKeys(restrict(keys, allowed, "jwt_secret"))


def keys_from_pem(file: Path, allowed: Sequence[str]) -> FixedKeys:
    """Load a public key from a PEM file, limited to the ``allowed`` algorithms if there are any.

    Raises:
        ConfigurationError: the file cannot be read, the key cannot be used, or none of ``allowed`` fits.
    """
    require_cryptography("jwt_public_key")
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"jwt_public_key: cannot read {file}: {why}") from None
    for kind, command in (("PRIVATE KEY", "pkey -in {} -pubout"), ("CERTIFICATE", "x509 -in {} -pubkey -noout")):
        if kind in text:
            hint = f"extract its public key: `openssl {command.format(file)}`"
            raise ConfigurationError(f"jwt_public_key: {file} is a {kind.lower()}; {hint}")
    if not (keys := usable_keys(text, PUBLIC_ALGORITHMS)):
        supported = "RSA (at least 2048 bits), P-256, P-384, P-521 or Ed25519, in PEM"
        raise ConfigurationError(f"jwt_public_key: {file} is not a supported public key: use {supported}")
    return FixedKeys(restrict(keys, allowed, "jwt_public_key"))


def usable_keys(key: Any, algorithms: Iterable[str]) -> dict[str, Any]:
    """Return a secret, a text in PEM or a key object, by each of the algorithms that its kind and length fit."""
    usable = {}
    for name in algorithms:
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            prepared = algorithm.prepare_key(key)
            curve = algorithm.to_jwk(prepared, as_dict=True).get("crv")
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # a key of another kind
        if algorithm.check_key_length(prepared) is None and curve != "Ed448":
            usable[name] = prepared
    return usable


def require_cryptography(setting: str) -> None:
    """Raise ``ConfigurationError`` unless the library for public keys is installed."""
    if not jwt.algorithms.has_crypto:
        raise ConfigurationError(f"{setting} needs cryptography: {install_command('crypto')}")


def restrict(keys: Mapping[str, Any], allowed: Sequence[str], setting: str) -> dict[str, Any]:
    """Return the keys for the ``allowed`` algorithms. An empty list allows all."""
    if left := {name: key for name, key in keys.items() if not allowed or name in allowed}:
        return left
    fitting = ", ".join(keys)
    raise ConfigurationError(f"jwt_algorithms allows {', '.join(allowed)}, but this {setting} needs one of {fitting}")
