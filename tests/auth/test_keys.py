"""Verification keys, and the algorithms that fit them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from persona_stream.auth.keys import keys_from_pem, keys_from_secret
from persona_stream.errors import ConfigurationError
from tests.auth.token_forgery import EC, ED, RSA, SECRET, pem

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
SHORT_RSA = rsa.generate_private_key(65537, 1024)


def test_a_secret_is_at_least_as_long_as_the_hash() -> None:
    """Source: RFC 7518 §3.2."""
    assert keys_from_secret("x" * 32, ()).algorithms == ("HS256",)
    assert keys_from_secret("x" * 48, ()).algorithms == ("HS256", "HS384")
    assert keys_from_secret("x" * 64, ()).algorithms == ("HS256", "HS384", "HS512")
    assert keys_from_secret("é" * 16, ()).algorithms == ("HS256",)
    assert keys_from_secret("x" * 64, ("HS512", "RS256")).algorithms == ("HS512",)
    assert keys_from_secret(SECRET, ()).keys_for("HS256", "any name") == (SECRET.encode(),)


@pytest.mark.parametrize(
    ("secret", "allowed", "sentence"),
    [
        ("", (), "jwt_secret has 0 bytes; it needs at least 32"),
        ("geheim", (), "jwt_secret has 6 bytes; it needs at least 32"),
        ("x" * 31, (), "jwt_secret has 31 bytes"),
        ("x" * 32, ("HS512",), "jwt_algorithms allows HS512, but this jwt_secret needs one of HS256"),
        ("x" * 32, ("RS256", "ES256"), "jwt_algorithms allows RS256, ES256, but this jwt_secret needs"),
        (pem(RSA), (), "jwt_secret is a public key, which is no secret: set jwt_public_key instead"),
    ],
)
def test_an_unusable_secret_is_refused(secret: str, allowed: tuple[str, ...], sentence: str) -> None:
    """The message does not contain the secret."""
    with pytest.raises(ConfigurationError) as caught:
        keys_from_secret(secret, allowed)
    assert sentence in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [(RSA, RSA_ALGORITHMS), (EC, ("ES256",)), (P384, ("ES384",)), (P521, ("ES512",)), (ED, ("EdDSA",))],
)
def test_a_public_key_fits_its_own_algorithms(key: Any, algorithms: tuple[str, ...], tmp_path: Path) -> None:
    """HMAC and ``none`` never fit, and the settings can limit the others."""
    file = tmp_path / "key.pem"
    file.write_text("A comment like those of openssl\n" + pem(key))
    assert keys_from_pem(file, ()).algorithms == algorithms
    assert keys_from_pem(file, (algorithms[0], "HS256")).algorithms == (algorithms[0],)
    with pytest.raises(ConfigurationError, match=f"this jwt_public_key needs one of {', '.join(algorithms)}"):
        keys_from_pem(file, ("HS256",))


def private(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


UNUSABLE = "is not a supported public key: use RSA (at least 2048 bits), P-256, P-384, P-521 or Ed25519, in PEM"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", UNUSABLE),
        (b"nonsense", UNUSABLE),
        (b"\xff\xfe", ": it is not text"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", UNUSABLE),
        (pem(SHORT_RSA).encode(), UNUSABLE),
        (pem(ec.generate_private_key(ec.SECP256K1())).encode(), UNUSABLE),
        (pem(ec.generate_private_key(ec.BrainpoolP256R1())).encode(), UNUSABLE),
        (pem(dsa.generate_private_key(1024)).encode(), UNUSABLE),
        (pem(x25519.X25519PrivateKey.generate()).encode(), UNUSABLE),
        (pem(ed448.Ed448PrivateKey.generate()).encode(), UNUSABLE),
        (private(RSA).encode(), "is a private key; extract its public key: `openssl pkey -in"),
        (private(ED).encode(), "is a private key"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "is a certificate; extract its",
        ),
    ],
)
def test_a_file_without_a_usable_key_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    """The message names the setting, the file and, where one exists, the command that helps."""
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        keys_from_pem(file, ())
    assert str(caught.value).startswith("jwt_public_key: ")
    assert str(file) in str(caught.value)
    assert sentence in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message has the reason."""
    with pytest.raises(ConfigurationError, match=r"cannot read .*/none\.pem: No such file or directory"):
        keys_from_pem(tmp_path / "none.pem", ())


WITHOUT = """
import sys
sys.modules["cryptography"] = None
from persona_stream.errors import ConfigurationError
from persona_stream.settings import Settings
from persona_stream.auth.jwt import issue_token
from persona_stream.auth.jwt import create_verifier
from persona_stream.auth.tickets import RunURLSigner

secret = "x" * 40
assert create_verifier(Settings(), secret).verify(issue_token(secret, "ann", 60)).subject == "ann"
for settings in (Settings(jwt_public_key="key.pem"), Settings(jwks_url="https://keys.example")):
    try:
        create_verifier(settings, secret)
    except ConfigurationError as error:
        print(error)
"""


def test_only_public_keys_need_the_crypto_extra() -> None:
    """The message names the extra to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "jwt_public_key needs cryptography: pip install 'cryptography>=43'",
        "jwks_url needs cryptography: pip install 'cryptography>=43'",
    ]
