"""Keys, and the algorithms that fit them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from persona_stream.auth.keys import keys_from_pem, keys_from_secret, public_algorithms, public_keys
from persona_stream.errors import ConfigurationError
from tests.auth.token_forgery import EC, ED, RSA, SECRET, jwk, pem

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
SHORT_RSA = rsa.generate_private_key(65537, 1024)


def test_a_secret_fits_hashes_that_are_not_longer() -> None:
    """By RFC 7518 §3.2 a key has at least as many bytes as the hash."""
    assert keys_from_secret("x" * 32, ()).algorithms == ("HS256",)
    assert keys_from_secret("x" * 48, ()).algorithms == ("HS256", "HS384")
    assert keys_from_secret("x" * 64, ()).algorithms == ("HS256", "HS384", "HS512")
    assert keys_from_secret("é" * 16, ()).algorithms == ("HS256",)
    assert keys_from_secret("x" * 64, ("HS512", "RS256")).algorithms == ("HS512",)
    assert keys_from_secret(SECRET, ()).keys_for("HS256", "any name") == (SECRET.encode(),)


@pytest.mark.parametrize(
    ("secret", "allowed", "sentence"),
    [
        ("", (), "jwt_secret has 0 bytes, and fewer than 32 can be guessed"),
        ("geheim", (), "jwt_secret has 6 bytes, and fewer than 32 can be guessed"),
        ("x" * 31, (), "jwt_secret has 31 bytes"),
        ("x" * 32, ("HS512",), "jwt_algorithms has HS512, of which none fits this jwt_secret: HS256 would"),
        ("x" * 32, ("RS256", "ES256"), "jwt_algorithms has RS256, ES256, of which none fits"),
        (pem(RSA), (), "jwt_secret is a public key, which everybody may know: set jwt_public_key instead"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused(secret: str, allowed: tuple[str, ...], sentence: str) -> None:
    """The server does not start, and does not say the secret."""
    with pytest.raises(ConfigurationError) as caught:
        keys_from_secret(secret, allowed)
    assert sentence in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [(RSA, RSA_ALGORITHMS), (EC, ("ES256",)), (P384, ("ES384",)), (P521, ("ES512",)), (ED, ("EdDSA",))],
)
def test_a_public_key_fits_its_own_algorithms(key: Any, algorithms: tuple[str, ...], tmp_path: Path) -> None:
    """HMAC is never among them, nor ``none``; and the settings may narrow them."""
    file = tmp_path / "key.pem"
    file.write_text("A comment that openssl writes, say\n" + pem(key))
    assert keys_from_pem(file, ()).algorithms == algorithms
    assert keys_from_pem(file, (algorithms[0], "HS256")).algorithms == (algorithms[0],)
    with pytest.raises(ConfigurationError, match=f"none fits this jwt_public_key: {', '.join(algorithms)} would"):
        keys_from_pem(file, ("HS256",))


def private(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


UNUSABLE = "is no public key that can be used: RSA of at least 2048 bits, P-256, P-384, P-521 or Ed25519, in PEM"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", UNUSABLE),
        (b"nonsense", UNUSABLE),
        (b"\xff\xfe", "cannot be read: it is not text"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", UNUSABLE),
        (pem(SHORT_RSA).encode(), UNUSABLE),
        (pem(ec.generate_private_key(ec.SECP256K1())).encode(), UNUSABLE),
        (pem(ec.generate_private_key(ec.BrainpoolP256R1())).encode(), UNUSABLE),
        (pem(dsa.generate_private_key(1024)).encode(), UNUSABLE),
        (pem(x25519.X25519PrivateKey.generate()).encode(), UNUSABLE),
        (pem(ed448.Ed448PrivateKey.generate()).encode(), UNUSABLE),
        (private(RSA).encode(), "is a private key; give the public one alone: `openssl pkey -in"),
        (private(ED).encode(), "is a private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is a certificate; give its key"),
    ],
)
def test_a_file_that_holds_no_usable_key_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    """The sentence has the setting, the file, and where there is one the command that mends it."""
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        keys_from_pem(file, ())
    assert str(caught.value).startswith(f"jwt_public_key: {file} ")
    assert sentence in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read: No such file or directory"):
        keys_from_pem(tmp_path / "none.pem", ())


@pytest.mark.parametrize(
    ("published", "algorithms"),
    [
        (jwk(RSA, "RS256"), RSA_ALGORITHMS),
        (jwk(RSA, "RS256", alg="PS256", use="sig", kid="7"), ("PS256",)),
        (jwk(EC, "ES256", key_ops=["verify"]), ("ES256",)),
        (jwk(ED, "EdDSA"), ("EdDSA",)),
    ],
)
def test_a_published_key_fits_its_own_algorithms(published: dict[str, Any], algorithms: tuple[str, ...]) -> None:
    """And of those the one that it names, if it names one."""
    assert tuple(public_keys(published)) == algorithms


def test_of_a_published_private_key_only_the_public_half_is_taken() -> None:
    """Somebody's mistake does not make us hold their key."""
    whole = jwk(RSA, "RS256", d=jwk(RSA, "RS256")["n"], p="AQAB")
    key = public_keys(whole)["RS256"]
    assert key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == pem(RSA)


@pytest.mark.parametrize(
    "published",
    [
        {},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {"kty": "oct", "k": "AAAA", "alg": "RS256"},
        jwk(RSA, "RS256", alg="HS256"),
        jwk(RSA, "RS256", alg="RSA-OAEP"),
        jwk(RSA, "RS256", use="enc"),
        jwk(RSA, "RS256", key_ops=["sign"]),
        jwk(EC, "ES256", alg="RS256"),
        jwk(EC, "ES256", crv="secp256k1"),
        jwk(SHORT_RSA, "RS256"),
        {"kty": "RSA", "n": "AQAB"},
        {"kty": ["RSA"], "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
    ],
)
def test_what_is_no_public_key_for_signatures_is_not_taken(published: dict[str, Any]) -> None:
    """A symmetric key above all: who reads the address could sign with it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  the contract names two trees
        public_keys(published)
    assert {base.__name__ for base in type(caught.value).__mro__} & {"ValueError", "PyJWTError"}


def test_the_algorithms_of_published_keys_can_be_narrowed() -> None:
    """To those of public keys."""
    assert public_algorithms(("ES256", "HS256")) == ("ES256",)
    assert "HS256" not in public_algorithms(())
    with pytest.raises(ConfigurationError, match="jwt_algorithms has HS256"):
        public_algorithms(("HS256",))


WITHOUT = """
import sys
sys.modules["cryptography"] = None
from persona_stream.errors import ConfigurationError
from persona_stream.settings import Settings
from persona_stream.auth.jwt import issue_token
from persona_stream.auth.verifier import create_verifier
from persona_stream.auth.tickets import RunURLSigner

secret = "x" * 40
assert create_verifier(Settings(), secret).verify(issue_token(secret, "ann", 60)).subject == "ann"
for settings in (Settings(jwt_public_key="key.pem"), Settings(jwks_url="https://keys.example")):
    try:
        create_verifier(settings, secret)
    except ConfigurationError as error:
        print(error)
"""


def test_without_the_extra_only_public_keys_are_missing() -> None:
    """Secrets work without cryptography; public keys name the extra to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "jwt_public_key needs the crypto extra: `pip install 'persona_stream[crypto]'`",
        "jwks_url needs the crypto extra: `pip install 'persona_stream[crypto]'`",
    ]
