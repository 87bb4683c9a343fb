"""``persona-stream key``."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_stream.auth.api_keys import ApiKeyVerifier, KeyFile
from persona_stream.auth.base import OpenVerifier
from persona_stream.cli.commands import run
from persona_stream.core.clock import system_clock
from persona_stream.core.query import Principal


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERSONA_STREAM_API_KEYS", str(tmp_path / "keys.toml"))
    return tmp_path / "keys.toml"


def test_a_created_key_is_accepted_until_it_is_revoked(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """The key alone is on stdout, for a pipe; the list names it by its id."""
    assert run(["key", "create", "--user", "ann", "--scope", "chat", "--scope", "admin", "--expires", "90d"]) == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert secret.startswith("psk_")
    assert secret not in err
    verifier = ApiKeyVerifier(KeyFile(path), system_clock(), OpenVerifier())
    assert verifier.verify(secret) == Principal("ann", frozenset({"chat", "admin"}))

    assert run(["key", "list"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "USER", "SCOPES", "CREATED", "EXPIRES"]
    key_id, user, *scopes = row.split()[:4]
    assert (user, scopes) == ("ann", ["chat", "admin"])

    assert run(["key", "revoke", key_id]) == 0
    assert capsys.readouterr().out == f"Revoked the key {key_id} of ann\n"
    assert KeyFile(path).load() == ()


def test_a_wrong_command_names_the_mistake(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown id, an invalid user, and no file."""
    assert run(["key", "revoke", "0" * 12]) == 2
    assert run(["key", "create", "--user", " "]) == 2
    monkeypatch.delenv("PERSONA_STREAM_API_KEYS")
    assert run(["key", "list"]) == 2
    unknown, invalid, none = capsys.readouterr().err.splitlines()
    assert "There is no key" in unknown
    assert "must not be blank" in invalid
    assert "--api-keys" in none
