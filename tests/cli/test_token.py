"""``persona-stream token``."""

from __future__ import annotations

import os
from pathlib import Path

import jwt
import pytest

from persona_stream.auth.verifier import create_verifier
from persona_stream.cli.commands import run
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.query import Principal
from persona_stream.settings.loader import load_settings
from persona_stream.state_dir import get_signing_secret


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("PERSONA_STREAM_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "persona_stream"


def caller(token: str) -> Principal:
    """Let a server that is started in the same environment say who that is."""
    settings, _ = load_settings({}, os.environ, None)
    return create_verifier(settings, get_signing_secret(settings, os.environ)[0]).verify(token)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Give the one line that the command prints, which is all that it prints."""
    assert run(["token", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("\n")
    assert out.count("\n") == 1
    return out.strip()


def test_a_token_of_the_made_secret_comes_in(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    """Also when this command makes the secret, before the first server starts."""
    assert caller(printed(capsys, "--user", "ann")) == Principal("ann", frozenset({"chat"}))
    assert (state / "secret").exists()


def test_a_token_of_a_configured_secret_comes_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    """With the audience and the issuer that the server asks for; nothing is made then."""
    monkeypatch.setenv("PERSONA_STREAM_JWT_SECRET", "x" * 40)
    monkeypatch.setenv("PERSONA_STREAM_JWT_AUDIENCE", "us")
    monkeypatch.setenv("PERSONA_STREAM_JWT_ISSUER", "me")
    assert caller(printed(capsys, "--user", "安")) == Principal("安")
    assert not state.exists()


def test_scopes_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """In one word or in several, once or again."""
    assert caller(printed(capsys, "--user", "ann", "--scope", "chat admin")).scopes == {"chat", "admin"}
    assert caller(printed(capsys, "--user", "ann", "--scope", "chat", "--scope", "admin")).scopes == {"chat", "admin"}


@pytest.mark.parametrize(("written", "seconds"), [(None, 86_400), ("90", 90), ("5m", 300), ("30d", 30 * 86_400)])
def test_it_expires_when_it_is_told(capsys: pytest.CaptureFixture[str], written: str | None, seconds: float) -> None:
    """After a day when it is not told."""
    token = printed(capsys, "--user", "ann", *(["--expires", written] if written else []))
    left = jwt.decode(token, options={"verify_signature": False})["exp"] - monotonic_wall_clock()()
    assert left == pytest.approx(seconds, abs=60)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--user", ""], "Invalid value for '--user': a user's name is not blank and has no control characters"),
        (["--user", "a\nb"], "Invalid value for '--user': a user's name is not blank and has no control characters"),
        (["--user", "a", "--expires", "0"], "Invalid value for '--expires': it must be a duration above 0 like 30"),
        (["--user", "a", "--expires", "soon"], "Invalid value for '--expires': it must be a duration above 0 like 30"),
        (["--user", "a", "--jwt-secret", "geheim"], "jwt_secret has 6 bytes, and fewer than 32 can be guessed"),
        (
            ["--user", "a", "--jwks-url", "https://k.example"],
            "Tokens are checked with jwks_url here, and only who holds",
        ),
        (
            ["--user", "a", "--jwt-public-key", "k.pem"],
            "Tokens are checked with jwt_public_key here, and only who holds",
        ),
        (
            ["--user", "a", "--state-dir", "/dev/null/x"],
            "The secret /dev/null/x/secret cannot be kept (Not a directory)",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no token; a script that reads stdout reads nothing."""
    assert run(["token", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"persona-stream: {sentence}")
    assert "geheim" not in err


def test_a_warning_is_not_on_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes injects is warned of beside the token."""
    monkeypatch.setenv("PERSONA_STREAM_SERVICE_HOST", "10.96.0.7")
    assert run(["token", "--user", "ann"]) == 0
    out, err = capsys.readouterr()
    assert out.count(".") == 2
    assert err.startswith("persona-stream: Ignored PERSONA_STREAM_SERVICE_HOST, which Kubernetes sets")
