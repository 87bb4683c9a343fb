"""``persona-stream token``."""

from __future__ import annotations

import os
from pathlib import Path

import jwt
import pytest

from persona_stream.auth.jwt import create_verifier
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
    """Return the caller that a server in the same environment sees."""
    settings = load_settings({}, os.environ, None).settings
    return create_verifier(settings, get_signing_secret(settings, os.environ)[0]).verify(token)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line that the command prints, and nothing else."""
    assert run(["token", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("\n")
    assert out.count("\n") == 1
    return out.strip()


def test_a_token_signed_with_the_generated_secret_is_accepted(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    """The command generates the secret if no server has done so before."""
    assert caller(printed(capsys, "--user", "ann")) == Principal("ann", frozenset({"chat"}))
    assert (state / "secret").exists()


def test_a_token_signed_with_a_configured_secret_is_accepted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    """It has the audience and the issuer that the server requires, and no secret is generated."""
    monkeypatch.setenv("PERSONA_STREAM_JWT_SECRET", "x" * 40)
    monkeypatch.setenv("PERSONA_STREAM_JWT_AUDIENCE", "us")
    monkeypatch.setenv("PERSONA_STREAM_JWT_ISSUER", "me")
    assert caller(printed(capsys, "--user", "安")) == Principal("安")
    assert not state.exists()


def test_scopes_are_joined(capsys: pytest.CaptureFixture[str]) -> None:
    """One option with several scopes and several options are the same."""
    assert caller(printed(capsys, "--user", "ann", "--scope", "chat admin")).scopes == {"chat", "admin"}
    assert caller(printed(capsys, "--user", "ann", "--scope", "chat", "--scope", "admin")).scopes == {"chat", "admin"}


@pytest.mark.parametrize(("written", "seconds"), [(None, 86_400), ("90", 90), ("5m", 300), ("30d", 30 * 86_400)])
def test_the_lifetime_can_be_set(capsys: pytest.CaptureFixture[str], written: str | None, seconds: float) -> None:
    """The default is a day."""
    token = printed(capsys, "--user", "ann", *(["--expires", written] if written else []))
    left = jwt.decode(token, options={"verify_signature": False})["exp"] - monotonic_wall_clock()()
    assert left == pytest.approx(seconds, abs=60)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--user", ""], "Invalid value for '--user': the user must not be blank or contain control characters"),
        (["--user", "a\nb"], "Invalid value for '--user': the user must not be blank or contain control characters"),
        (["--user", "a", "--expires", "0"], "Invalid value for '--expires': it must be a duration above 0 like 30"),
        (["--user", "a", "--expires", "soon"], "Invalid value for '--expires': it must be a duration above 0 like 30"),
        (["--user", "a", "--jwt-secret", "geheim"], "jwt_secret has 6 bytes; it needs at least 32"),
        (
            ["--user", "a", "--jwks-url", "https://k.example"],
            "Tokens are verified with jwks_url, so this server cannot issue any",
        ),
        (
            ["--user", "a", "--jwt-public-key", "k.pem"],
            "Tokens are verified with jwt_public_key, so this server cannot issue any",
        ),
        (
            ["--user", "a", "--state-dir", "/dev/null/x"],
            "Cannot store the secret in /dev/null/x/secret (Not a directory)",
        ),
    ],
)
def test_an_invalid_command_prints_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints no token to stdout."""
    assert run(["token", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"persona-stream: {sentence}")
    assert "geheim" not in err


def test_a_warning_is_not_on_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning about Kubernetes variables goes to stderr."""
    monkeypatch.setenv("PERSONA_STREAM_SERVICE_HOST", "10.96.0.7")
    assert run(["token", "--user", "ann"]) == 0
    out, err = capsys.readouterr()
    assert out.count(".") == 2
    assert err.startswith("persona-stream: Ignored PERSONA_STREAM_SERVICE_HOST, which Kubernetes sets")
