"""API keys and their file."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.auth.api_keys import ApiKey, ApiKeyVerifier, KeyFile, create_api_key
from persona_stream.auth.base import OpenVerifier, is_valid_subject
from persona_stream.core.query import Principal
from persona_stream.errors import ConfigurationError, Unauthorized
from tests.fakes import FakeClock

NOW = 1_800_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.toml")


def added(file: KeyFile, user: str = "ann", expires: float | None = None) -> tuple[str, ApiKey]:
    """Add a key to the file; return the key and its entry."""
    secret, entry = create_api_key(user, ("chat",), expires, NOW)
    file.add(entry)
    return secret, entry


def refusal(verifier: ApiKeyVerifier, token: str) -> str:
    """Return the text of a refused key."""
    with pytest.raises(Unauthorized) as caught:
        verifier.verify(token)
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]
    return caught.value.message


def test_a_key_has_256_random_bits_and_a_prefix(file: KeyFile) -> None:
    """32 bytes are 43 characters of base64url."""
    secrets = {added(file)[0] for _ in range(5)}
    assert len(secrets) == 5
    assert all(len(secret) == 47 and secret.startswith("psk_") for secret in secrets)


def test_the_file_has_hashes_only_and_belongs_to_its_owner(file: KeyFile) -> None:
    """Another user of the machine cannot read it, and no one can read a key in it."""
    secret, entry = added(file)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert secret not in file.path.read_text("utf-8")
    assert entry.hash in file.path.read_text("utf-8")
    assert list(file.path.parent.iterdir()) == [file.path]


@given(st.text().filter(is_valid_subject), st.lists(st.text(alphabet="abc\"\\' é"), max_size=3))
def test_every_user_and_scope_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, user: str, scopes: list[str]
) -> None:
    """Quotes and backslashes cannot leave their text."""
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.toml")
    _, entry = create_api_key(user, scopes, 60.5, NOW)
    file.add(entry)
    assert file.load() == (entry,)


def test_a_key_names_its_user_and_scopes(file: KeyFile) -> None:
    """Other credentials go to the other verifier."""
    secret, _ = added(file, "安")
    verifier = ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())
    assert verifier.verify(secret) == Principal("安", frozenset({"chat"}))
    assert verifier.verify("a.b.c").subject == "local"
    assert verifier.expiry(secret) is None


@pytest.mark.parametrize("forged", ["psk_", "psk_x", "psk_é\ud800"])
def test_an_unknown_key_is_refused(file: KeyFile, forged: str) -> None:
    """So is part of a key, and a key with something behind it."""
    secret, _ = added(file)
    verifier = ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())
    for token in (forged, secret[:-1], secret + "x"):
        assert refusal(verifier, token) == "The API key is unknown or was revoked"


def test_a_hash_is_no_key(file: KeyFile) -> None:
    """A thief of the file cannot log in with it."""
    _, entry = added(file)
    verifier = ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())
    assert "unknown" in refusal(verifier, "psk_" + entry.hash)


def test_a_key_expires(file: KeyFile) -> None:
    """At its time, without a change of the file."""
    secret, _ = added(file, expires=60)
    clock = FakeClock(NOW + 59)
    verifier = ApiKeyVerifier(file, clock, OpenVerifier())
    assert verifier.verify(secret).subject == "ann"
    assert verifier.expiry(secret) == NOW + 60
    clock.now = NOW + 60
    assert refusal(verifier, secret) == "The API key has expired"


def test_a_changed_file_counts_at_the_next_request(file: KeyFile) -> None:
    """Added keys are accepted, and revoked ones refused."""
    first, entry = added(file)
    verifier = ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())
    second, _ = added(file, "bob")
    assert verifier.verify(second).subject == "bob"
    assert file.remove(entry.id) == entry
    assert "revoked" in refusal(verifier, first)
    assert verifier.verify(second).subject == "bob"
    file.path.unlink()
    assert "revoked" in refusal(verifier, second)


def test_a_damaged_file_changes_nothing(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    """The keys that were read before stay valid, and the log names the error once."""
    secret, _ = added(file)
    verifier = ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())
    file.path.write_text("[[keys]", "utf-8")
    for _ in range(2):
        assert verifier.verify(secret).subject == "ann"
    [message] = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "not a valid file of keys" in message


@pytest.mark.parametrize(
    "text",
    [
        "keys = 1",
        "[[keys]]\nhash = 'x'\nuser = 'ann'\ncreated = 2026-12-01T00:00:00Z",
        f"[[keys]]\nhash = '{'0' * 64}'\nuser = ''\ncreated = 2026-12-01T00:00:00Z",
        f"[[keys]]\nhash = '{'0' * 64}'\nuser = 'ann'\ncreated = 2026-12-01T00:00:00",
        f"[[keys]]\nhash = '{'0' * 64}'\nuser = 'ann'\ncreated = 2026-12-01T00:00:00Z\nexpire = 2026-12-01T00:00:00Z",
    ],
)
def test_a_mistake_in_the_file_stops_the_start(file: KeyFile, text: str) -> None:
    """A misspelled ``expires`` must not make a key valid for ever."""
    file.path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"keys\.toml"):
        ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())


def test_a_missing_file_stops_the_start(file: KeyFile) -> None:
    """The error names the command that creates it."""
    with pytest.raises(ConfigurationError, match="persona-stream key create"):
        ApiKeyVerifier(file, FakeClock(NOW), OpenVerifier())


def test_concurrent_writers_lose_no_key(file: KeyFile) -> None:
    """Each waits for the lock on the directory."""
    threads = [threading.Thread(target=added, args=(file, f"user {number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.user for key in file.load()} == {f"user {number}" for number in range(20)}


def test_only_an_existing_key_can_be_removed(file: KeyFile) -> None:
    """And a file in a missing directory cannot be written."""
    with pytest.raises(KeyError):
        file.remove("0" * 12)
    with pytest.raises(ConfigurationError, match="cannot write"):
        added(KeyFile(file.path / "below" / "keys.toml"))
