"""``persona-stream settings``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from persona_stream.cli.commands import run
from persona_stream.settings.schema import SETTINGS


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("PERSONA_STREAM_")]:
        monkeypatch.delenv(variable)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["settings", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_the_table_of_the_readme_has_a_row_for_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, default, meaning."""
    lines = printed(capsys, "--markdown")
    assert lines[:2] == ["| setting | default | meaning |", "|---|---|---|"]
    assert [line.split("`")[1] for line in lines[2:]] == [setting.name for setting in SETTINGS]
    assert all(line.count("|") == 4 for line in lines)
    assert "| `retention_bytes` | `256 MiB` | how much of finished runs is kept |" in lines
    assert "| `jwt_secret` | one is made and kept | the secret that signs tokens, at least 32 bytes |" in lines
    assert "| `max_queue` | `1000` | how many runs may wait for a place |" in lines


def test_the_table_does_not_depend_on_the_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the README's copy can be compared with it."""
    before = printed(capsys, "--markdown")
    monkeypatch.setenv("PERSONA_STREAM_PORT", "8080")
    assert printed(capsys, "--markdown") == before


def test_the_listing_has_what_is_in_effect_and_from_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line for every setting; a secret is only said to be there."""
    file = tmp_path / "p.toml"
    file.write_text('timeout = "2m"\nport = 1\nopenai_base_url = "https://user:geheim@api.example/v1"\n')
    monkeypatch.setenv("PERSONA_STREAM_PORT", "8080")
    monkeypatch.setenv("PERSONA_STREAM_JWT_SECRET", "geheim" * 10)
    lines = printed(capsys, "--config", str(file), "--threads", "7")
    cells = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert list(cells) == [setting.name for setting in SETTINGS]
    assert cells["port"].startswith("8080 PERSONA_STREAM_PORT ")
    assert cells["timeout"].startswith(f"2m timeout in {file} ")
    assert cells["threads"].startswith("7 --threads ")
    assert cells["jwt_secret"].startswith("(set, not shown) PERSONA_STREAM_JWT_SECRET ")
    assert cells["openai_base_url"].startswith("https://***@api.example/v1 ")
    assert cells["host"].startswith("127.0.0.1 default ")
    assert "geheim" not in "".join(lines)


def test_what_is_wrong_is_found_before_a_server_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sentence and exit code as ``serve`` has."""
    monkeypatch.setenv("PERSONA_STREAM_JWT_SECRET", "x" * 40)
    assert run(["settings", "--jwks-url", "https://k.example"]) == 2
    assert capsys.readouterr() == (
        "",
        "persona-stream: jwt_secret and jwks_url are set, and only one of them can say who may come in\n",
    )
