"""Tokens that we make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from persona_stream.auth.jwt import issue
from persona_stream.auth.verifier import verifier
from persona_stream.core.query import Principal
from persona_stream.errors import StartError, Unauthorized
from persona_stream.settings.schema import Settings
from tests.fakes import FakeClock
from tests.tokens.crafting import NOW, SECRET

CLOCK = FakeClock(NOW)


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def test_a_token_says_who_and_until_when() -> None:
    """And what it allows, where that is more or less than ``chat``."""
    assert claims(issue(SECRET, "ann", 60, clock=CLOCK)) == {"sub": "ann", "exp": NOW + 60}
    assert claims(issue(SECRET, "安", 0.5, "chat admin", clock=CLOCK)) == {
        "sub": "安",
        "exp": NOW + 1,
        "scope": "chat admin",
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"jwt_audience": ("us", "also-us"), "jwt_issuer": "https://id.example"},
        {"jwt_algorithms": ("HS512", "HS384")},
    ],
)
def test_a_token_that_we_make_comes_in(values: dict[str, Any]) -> None:
    """Under the settings that it was made for, until it expires."""
    settings, secret, clock = Settings(**values), "x" * 64, FakeClock(NOW)
    check = verifier(settings, secret, clock).verify
    token = issue(secret, "ann", 60, "admin", settings, clock)
    assert check(token) == Principal("ann", frozenset({"admin"}))
    clock.now = NOW + 60
    with pytest.raises(Unauthorized, match="expired"):
        check(token)


@pytest.mark.parametrize("name", ["jwt_public_key", "jwks_url"])
def test_without_the_private_key_none_can_be_made(name: str) -> None:
    """A public key checks tokens, and makes none."""
    settings = Settings(jwt_public_key=Path("k")) if name == "jwt_public_key" else Settings(jwks_url="http://k")
    with pytest.raises(StartError, match=f"^Tokens are checked with {name} here, and only who holds its private key"):
        issue(SECRET, "ann", 60, settings=settings)


def test_a_short_secret_makes_none() -> None:
    """It would make tokens that no server of ours takes."""
    with pytest.raises(StartError, match="jwt_secret has 5 bytes"):
        issue("short", "ann", 60)


@pytest.mark.parametrize("subject", ["", " ", "a\nb", "\ud800"])
def test_nobody_is_called_this(subject: str) -> None:
    """A name that the verifier would refuse is refused here already."""
    with pytest.raises(ValueError, match="not blank"):
        issue(SECRET, subject, 60)
