"""Builders of tokens and keys, including tokens that no library would create."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "a-secret-of-more-than-32-bytes-for-tests"
NOW = 1_800_000_000.0
GOOD = {"sub": "ann", "exp": NOW + 60}

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def encoded(data: bytes | dict[str, Any]) -> str:
    """Return a segment of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(
    claims: bytes | dict[str, Any], header: bytes | dict[str, Any] | None = None, secret: bytes = SECRET.encode()
) -> str:
    """Return a token with any header and payload, signed with HMAC-SHA256."""
    signed = f"{encoded({'alg': 'HS256'} if header is None else header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def signed(claims: dict[str, Any], key: Any, algorithm: str, **header: Any) -> str:
    """Return a token signed with a private key."""
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def pem(key: Any) -> str:
    """Return the public half of a private key in PEM."""
    public: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def jwk(key: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    """Return the public half of a private key as a JSON Web Key."""
    public: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in public.items() if name != "key_ops"} | members


def jwks(*keys: Any) -> bytes:
    """Return a JSON Web Key Set."""
    return json.dumps({"keys": keys}).encode()
