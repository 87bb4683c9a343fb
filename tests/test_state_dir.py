"""State directory and generated signing secret."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import get_signing_secret, load_or_create_secret, state_dir


def test_the_state_directory_follows_the_xdg_specification() -> None:
    """The configured directory comes first; a relative ``XDG_STATE_HOME`` is ignored."""
    home = {"HOME": "/home/ann"}
    assert state_dir(Path("/srv/state"), home) == Path("/srv/state")
    assert state_dir(None, home | {"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/persona_stream")
    assert state_dir(None, home) == Path("/home/ann/.local/state/persona_stream")
    assert state_dir(None, home | {"XDG_STATE_HOME": "x"}) == Path("/home/ann/.local/state/persona_stream")


def test_a_secret_is_generated_once(tmp_path: Path) -> None:
    """The first start creates it, with permissions for the owner only; later ones read it."""
    folder = tmp_path / "deep" / "state"
    made, new = load_or_create_secret(folder)
    assert new
    assert len(made) >= 43
    assert load_or_create_secret(folder) == (made, False)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()] == [("secret", 0o600)]
    assert load_or_create_secret(tmp_path / "other")[0] != made


def test_processes_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    """Exactly one of them creates it, and none reads a part of it."""
    program = (
        "import sys, pathlib; from persona_stream import state_dir as state; sys.stdin.read();"
        "print(*state.load_or_create_secret(pathlib.Path(sys.argv[1])))"
    )
    read, write = os.pipe()  # closing it starts all of them
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "s")], stdin=read, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    os.close(read)
    os.close(write)
    answers = [process.communicate()[0].split() for process in processes]
    assert len({secret for secret, _ in answers}) == 1
    assert sorted(is_new for _, is_new in answers) == ["False"] * 3 + ["True"]
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message has the command that fixes it."""
    load_or_create_secret(tmp_path)
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {tmp_path}/secret"):
        load_or_create_secret(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner knows the secret."""
    load_or_create_secret(tmp_path)
    os.chown(tmp_path / "secret", 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        load_or_create_secret(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short\n", b"x" * 42, b"y" * 43 + b" z", b"\xff" * 64, b"\x00" * 64])
def test_a_damaged_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """It is neither used nor replaced."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="is damaged"):
        load_or_create_secret(tmp_path)
    assert file.read_bytes() == content


def test_a_directory_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    """The message says what to set. (Root can write anywhere, so a file takes the directory's place here.)"""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="set state_dir to a writable directory, or set jwt_secret"):
        load_or_create_secret(tmp_path / "file" / "state")


def test_a_configured_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    """A server with a configured secret needs no state directory."""
    settings = Settings(jwt_secret="x" * 40, state_dir=tmp_path / "none")
    assert get_signing_secret(settings, {}) == ("x" * 40, False)
    assert not (tmp_path / "none").exists()


def test_without_a_configured_secret_one_is_generated(tmp_path: Path) -> None:
    """It is in the configured state directory, or in the platform's."""
    made, new = get_signing_secret(Settings(), {"XDG_STATE_HOME": str(tmp_path)})
    assert new
    assert get_signing_secret(Settings(state_dir=tmp_path / "persona_stream"), {}) == (made, False)
