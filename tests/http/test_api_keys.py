"""API keys on a real server: created, used by every kind of client, and revoked while it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.documents import SECURITY
from tests.server_process import ROOT, ServerProcess, serve

BODY = {"username": "x", "message": "Hi"}


def key(file: Path, *arguments: str) -> str:
    """Run ``persona-stream key``; return its output."""
    command = [sys.executable, "-m", "persona_stream", "key", *arguments, f"--api-keys={file}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    key(path, "create", "--user", "first")
    return path


@pytest.fixture(scope="module")
def keyed(file: Path) -> Iterator[ServerProcess]:
    """A server with API keys beside tokens."""
    server = serve(api_keys=file)
    yield server
    assert server.stop() == 0


def test_a_key_is_accepted_by_a_running_server_until_it_is_revoked(keyed: ServerProcess, file: Path):
    """Without a restart; tokens stay valid."""
    secret = key(file, "create", "--user", "ann", "--expires", "1h")
    for headers in ({"Authorization": f"Bearer {secret}"}, {"x-api-key": secret}):
        assert requests.get(f"{keyed.url}/api/runs", headers=headers, timeout=30).status_code == 200
    started = requests.post(f"{keyed.url}/api/chat", json=BODY, headers={"x-api-key": secret}, timeout=30)
    run_id = started.json()["run_id"]
    assert keyed.get(f"/api/runs/{run_id}", user="ann").status_code == 200, "a token of the same user"
    assert keyed.get(f"/api/runs/{run_id}", user="bob").status_code == 404

    [row] = [row for row in key(file, "list").splitlines() if " ann " in row]
    key(file, "revoke", row.split()[0])
    refused = requests.get(f"{keyed.url}/api/runs", headers={"x-api-key": secret}, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (401, "The API key is unknown or was revoked")
    assert secret not in keyed.log


def test_every_protocol_takes_a_key(keyed: ServerProcess, file: Path):
    """In the header that its clients use."""
    secret = key(file, "create", "--user", "sdk")
    chat = {"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    bearer = {"Authorization": f"Bearer {secret}"}
    for path, headers in (("/v1/chat/completions", bearer), ("/v1/messages", {"x-api-key": secret})):
        assert requests.post(keyed.url + path, json=chat, headers=headers, timeout=30).status_code == 200


def test_a_key_with_the_scope_admin_opens_the_dashboard(keyed: ServerProcess, file: Path):
    """A key without it does not. The cookie of a key that never expires ends with the browser's session."""
    login = {"X-Persona-Dashboard": "1"}
    statuses = []
    for scopes in (["--scope=chat"], ["--scope=chat", "--scope=admin"]):
        secret = key(file, "create", "--user", "boss", *scopes)
        session = requests.Session()
        response = session.post(f"{keyed.url}/dashboard/login", json={"token": secret}, headers=login, timeout=30)
        statuses.append(response.status_code)
    assert statuses == [403, 200]
    assert "expires" not in response.headers["Set-Cookie"].lower()
    assert session.get(f"{keyed.url}/dashboard/api/session", timeout=30).json()["user"] == "boss"


def test_the_documented_commands_work(keyed: ServerProcess, tmp_path: Path):
    """Those of docs/SECURITY.md, with the server of this test and its file."""
    [block] = [each.body for each in SECURITY.snippets() if each.heading == "API keys"]
    create, serve_line, curl, listing, revoke = block.strip().splitlines()
    file = tmp_path / "keys.toml"
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def shell(line: str, url: str = "") -> str:
        return subprocess.run(
            ["bash", "-ec", line], cwd=tmp_path, env={**environ, "URL": url}, capture_output=True, text=True, check=True
        ).stdout

    shell(create)
    assert re.fullmatch(r"psk_[\w-]{43}\n", (tmp_path / "alice.key").read_text("utf-8"))
    assert serve_line == "persona-stream serve --api-keys keys.toml"
    server = serve(api_keys=file)
    assert '"success":true' in shell(curl, server.url)
    key_id = shell(listing).splitlines()[1].split()[0]
    shell(revoke.replace("3f9a1c2b7d40", key_id))
    assert '"unauthorized"' in shell(curl, server.url)
    assert server.stop() == 0
