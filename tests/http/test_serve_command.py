"""`persona-stream serve`, as its user meets it."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.server_process import ROOT, SECRET, ServerProcess, serve


def test_without_a_secret_one_is_made_and_a_token_is_printed(state: Path):
    """The printed address works in one click, and the next start takes the same token."""
    server = ServerProcess(["--backend=tests.backends_for_tests:quick", f"--state-dir={state}"])
    page, token = server.greeting.splitlines()[-1].partition("#token=")[::2]
    assert page.split()[-1] == f"{server.url}/"
    assert (state / "secret").stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0
    again = ServerProcess(["--backend=tests.backends_for_tests:quick", f"--state-dir={state}"])
    headers = {"Authorization": f"Bearer {token.strip()}"}
    assert requests.get(f"{again.url}/api/runs", headers=headers, timeout=10).status_code == 200
    assert again.stop() == 0


def test_with_a_secret_no_token_gets_into_a_log():
    """Whoever configures one has another way to make tokens."""
    server = serve()
    assert "#token" not in server.greeting
    assert "persona-stream token --user" in server.greeting
    assert server.stop() == 0
    assert SECRET not in server.greeting + server.log


def test_who_listens_for_everybody_names_an_address_that_opens():
    """Of this machine, in place of the one that stands for all."""
    server = serve(host="0.0.0.0")
    assert server.url.startswith("http://127.0.0.1:")
    assert server.get("/healthz").status_code == 200
    assert "#token" not in server.greeting, "others can reach it"
    assert server.stop() == 0


def test_log_lines_can_be_json():
    """With the run's name on them."""
    server = serve(log_format="json", log_level="debug")
    run_id = server.post("/api/chat", {"username": "x\nforged", "message": "Hi"}).json()["run_id"]
    server.wait_for_log("answered")
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.splitlines()]
    (line,) = [line for line in lines if "answered" in line["message"]]
    assert (line["level"], line["run_id"]) == ("info", run_id)
    assert "started" in [line["message"] for line in lines]


def test_a_port_that_is_taken_is_said_in_one_sentence():
    """With what to do about it."""
    server = serve()
    port = server.url.rpartition(":")[2]
    with pytest.raises(RuntimeError, match=r"already in use.*choose another with --port"):
        ServerProcess([f"--port={port}", "--backend=tests.backends_for_tests:quick", f"--jwt-secret={SECRET}"])
    assert server.stop() == 0


def test_too_few_open_files_are_said_at_the_start():
    """And the limit is raised as far as it goes."""
    script = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 500)); "
    script += "from persona_stream.server.wsgi import raise_file_limit; print(raise_file_limit(1000)); "
    script += "print(resource.getrlimit(resource.RLIMIT_NOFILE)); print(raise_file_limit(300))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    warning, limits, fine = done.stdout.splitlines()
    assert "may open 500 files, and max_runs=1000 needs 1100" in warning
    assert (limits, fine) == ("(500, 500)", "None")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 500, "only the child's limit was lowered"


def test_reload_starts_again_when_a_source_file_changes(tmp_path: Path):
    """With the new code, on the same port; and one Ctrl-C ends it all."""
    bot = tmp_path / "bot.py"
    bot.write_text("def ask(message):\n    return 'old'\n")
    server = ServerProcess(
        ["--reload", "--backend=bot:ask", f"--jwt-secret={SECRET}", f"--state-dir={tmp_path}"],
        {"PYTHONPATH": str(tmp_path), "PWD": str(tmp_path)},
        cwd=tmp_path,
    )
    with ExitStack() as stack:
        stack.callback(server.stop)
        assert server.post("/api/chat", {"username": "x", "message": "Hi"}).json()["data"] == "old"
        bot.write_text("def ask(message):\n    return 'new answer'\n")
        server.wait_for_log("A source file changed")
        page = next(line for line in server.process.stdout if "Page:" in line)
        server.url = page.split()[1].rstrip("/")
        assert server.post("/api/chat", {"username": "x", "message": "Hi"}).json()["data"] == "new answer"
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
    time.sleep(0.2)
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url + "/healthz", timeout=5)
