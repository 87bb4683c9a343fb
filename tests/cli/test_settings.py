"""``persona-stream settings``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from persona_stream.cli.commands import run
from persona_stream.settings.schema import GROUPS, SETTINGS


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("PERSONA_STREAM_")]:
        monkeypatch.delenv(variable)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["settings", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_the_table_of_the_readme_has_a_row_for_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """The columns are name, default and description."""
    lines = printed(capsys, "--markdown")
    assert lines[:2] == ["| setting | default | meaning |", "|---|---|---|"]
    assert [line.split("`")[1] for line in lines[2:]] == [setting.name for setting in SETTINGS]
    assert all(line.count("|") == 4 for line in lines)
    assert "| `retention_bytes` | `256 MiB` | Maximum total size of finished runs |" in lines
    assert (
        "| `jwt_secret` | generated, stored in the state directory | Secret that signs tokens, at least 32 bytes |"
        in lines
    )
    assert "| `max_queue` | `1000` | Maximum number of queued runs |" in lines


def test_the_table_does_not_depend_on_the_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's copy is compared with it."""
    before = printed(capsys, "--markdown")
    monkeypatch.setenv("PERSONA_STREAM_PORT", "8080")
    assert printed(capsys, "--markdown") == before


def test_the_listing_has_each_value_and_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There is a line for every setting; secrets are hidden."""
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


def test_a_mistake_is_found_before_a_server_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence and the exit code are those of ``serve``."""
    monkeypatch.setenv("PERSONA_STREAM_JWT_SECRET", "x" * 40)
    assert run(["settings", "--jwks-url", "https://k.example"]) == 2
    assert capsys.readouterr() == (
        "",
        "persona-stream: jwt_secret and jwks_url are set, but tokens are verified with only one of them\n",
    )


def test_the_help_has_the_common_options_and_help_all_every_one(capsys: pytest.CaptureFixture[str]) -> None:
    """In groups; each setting belongs to one."""
    assert run(["serve", "--help"]) == 0
    short = capsys.readouterr().out
    assert run(["serve", "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert "--backend BACKEND" in short
    assert "--jwks-url" not in short
    assert len(short.splitlines()) < 45
    for setting in SETTINGS:
        assert f"  --{setting.name.replace('_', '-')} " in whole
    for heading in GROUPS.values():
        assert f"\n{heading}:\n" in whole
    assert "persona-stream serve --backend my_bot:ask --reload" in short
