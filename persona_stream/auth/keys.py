"""Keys, and the algorithms that each may be used with.

The law: a key's own kind says which algorithms fit it, and a token's header only picks among those. So ``none``
fits nothing, and a public key is never taken for the secret of an HMAC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jwt import PyJWTError, get_algorithm_by_name
from jwt.algorithms import has_crypto

from persona_stream.errors import ConfigurationError

_FITTING = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_PUBLIC = tuple(name for names in _FITTING.values() for name in names)
_SHORTEST_RSA = 2048


class KeySource(Protocol):
    """Have the keys that tokens are checked with."""

    @property
    def algorithms(self) -> Sequence[str]:
        """Name every algorithm that may count."""

    @property
    def max_age(self) -> float:
        """Say for how many seconds a key that was found may be relied on without asking again."""

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        """Give the keys that may have signed; none if there is no such key. May do I/O.

        Args:
            algorithm: one of ``algorithms``.
            kid: the name that the token's header gives its key. Not trusted: at most looked up in a dictionary.

        Raises:
            Unavailable: where the keys are is out of reach, and none is known from before.
        """


@dataclass(frozen=True)
class FixedKeys:
    """Have one key for ever."""

    by_algorithm: Mapping[str, Any]
    max_age: float = float("inf")

    @property
    def algorithms(self) -> Sequence[str]:
        return tuple(self.by_algorithm)

    def keys_for(self, algorithm: str, kid: str | None) -> Sequence[Any]:
        return (self.by_algorithm[algorithm],)


def keys_from_secret(secret: str, allowed: Sequence[str]) -> FixedKeys:
    """Make keys of a secret; ``allowed`` narrows its algorithms, if there are any in it.

    Raises:
        ConfigurationError: it is too short, is not a secret at all, or none of ``allowed`` fits it.
    """
    key = secret.encode()
    if len(key) < 32:
        raise ConfigurationError(
            f"jwt_secret has {len(key)} bytes, and fewer than 32 can be guessed: "
            "make one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    # RFC 7518 §3.2: a key as long as the hash, at least.
    fitting = [name for name, least in (("HS256", 32), ("HS384", 48), ("HS512", 64)) if len(key) >= least]
    try:
        get_algorithm_by_name("HS256").prepare_key(key)
    except PyJWTError:
        raise ConfigurationError(
            "jwt_secret is a public key, which everybody may know: set jwt_public_key instead"
        ) from None
    return FixedKeys(dict.fromkeys(_narrowed(fitting, allowed, "jwt_secret"), key))


def keys_from_pem(file: Path, allowed: Sequence[str]) -> FixedKeys:
    """Make keys of a public key in a PEM file; ``allowed`` narrows its algorithms, if there are any in it.

    Raises:
        ConfigurationError: it cannot be read or used, or none of ``allowed`` fits it.
    """
    require_cryptography("jwt_public_key")
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"jwt_public_key: {file} cannot be read: {why}") from None
    if "PRIVATE KEY" in text:
        raise ConfigurationError(
            f"jwt_public_key: {file} is a private key; give the public one alone: `openssl pkey -in {file} -pubout`"
        )
    if "CERTIFICATE" in text:
        raise ConfigurationError(
            f"jwt_public_key: {file} is a certificate; give its key: `openssl x509 -in {file} -pubkey -noout`"
        )
    for name in _PUBLIC:
        try:
            algorithm = get_algorithm_by_name(name)
            found = public_keys(algorithm.to_jwk(algorithm.prepare_key(text), as_dict=True))
        except (PyJWTError, ValueError, TypeError):
            continue
        return FixedKeys({name: found[name] for name in _narrowed(list(found), allowed, "jwt_public_key")})
    raise ConfigurationError(
        f"jwt_public_key: {file} is no public key that can be used: "
        f"RSA of at least {_SHORTEST_RSA} bits, P-256, P-384, P-521 or Ed25519, in PEM"
    )


def public_keys(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Give the key of a JSON Web Key, by each algorithm that it may be used with.

    Raises:
        ValueError: it is not a public key for signatures, or not one that can be used.
        PyJWTError: it is damaged.
    """
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise ValueError("it is not for signatures")
    fitting = _FITTING.get((str(jwk.get("kty")), None if jwk.get("kty") == "RSA" else str(jwk.get("crv"))), ())
    if "alg" in jwk:
        fitting = tuple(name for name in fitting if name == jwk["alg"])
    if not fitting:
        raise ValueError("no algorithm fits it")
    # Only the public half, also where somebody published the other one.
    public = {name: jwk[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk}
    key = get_algorithm_by_name(fitting[0]).from_jwk(public)
    if jwk["kty"] == "RSA" and key.key_size < _SHORTEST_RSA:
        raise ValueError(f"it has fewer than {_SHORTEST_RSA} bits")
    return dict.fromkeys(fitting, key)


def public_algorithms(allowed: Sequence[str]) -> tuple[str, ...]:
    """Give the algorithms of public keys, narrowed by ``allowed``, if there are any in it.

    Raises:
        ConfigurationError: none is left.
    """
    return tuple(_narrowed(_PUBLIC, allowed, "jwks_url"))


def require_cryptography(setting: str) -> None:
    """Check that public keys can be used at all.

    Raises:
        ConfigurationError: the library for it is not installed.
    """
    if not has_crypto:
        raise ConfigurationError(f"{setting} needs the crypto extra: `pip install 'persona_stream[crypto]'`")


def _narrowed(fitting: Sequence[str], allowed: Sequence[str], setting: str) -> Sequence[str]:
    left = [name for name in fitting if name in allowed] if allowed else fitting
    if not left:
        raise ConfigurationError(
            f"jwt_algorithms has {', '.join(allowed)}, of which none fits this {setting}: {', '.join(fitting)} would"
        )
    return left
