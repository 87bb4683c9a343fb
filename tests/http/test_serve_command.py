"""``persona-stream serve`` as a process: banner, log, signals and reload."""

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


def test_without_a_secret_one_is_generated_and_a_token_is_printed(state: Path):
    """The printed URL logs in, and the next start accepts the same token."""
    server = ServerProcess(["--backend=tests.backends_for_tests:quick", f"--state-dir={state}"])
    page, token = server.greeting.splitlines()[-1].partition("#token=")[::2]
    assert page.split()[-1] == f"{server.url}/"
    assert (state / "secret").stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0
    again = ServerProcess(["--backend=tests.backends_for_tests:quick", f"--state-dir={state}"])
    headers = {"Authorization": f"Bearer {token.strip()}"}
    assert requests.get(f"{again.url}/api/runs", headers=headers, timeout=10).status_code == 200
    assert again.stop() == 0


def test_with_a_configured_secret_no_token_is_printed():
    """The banner names the command that creates one."""
    server = serve()
    assert "#token" not in server.greeting
    assert "persona-stream token --user" in server.greeting
    assert server.stop() == 0
    assert SECRET not in server.greeting + server.log


def test_the_banner_has_a_url_that_browsers_can_open():
    """The unspecified address is replaced by that of this machine."""
    server = serve(host="0.0.0.0")
    assert server.url.startswith("http://127.0.0.1:")
    assert server.get("/healthz").status_code == 200
    assert "#token" not in server.greeting, "other machines can reach it"
    assert server.stop() == 0


def test_log_lines_can_be_json():
    """They have the run id."""
    server = serve(log_format="json", log_level="debug")
    run_id = server.post("/api/chat", {"username": "x\nforged", "message": "Hi"}).json()["run_id"]
    server.wait_for_log("answered")
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.splitlines()]
    (line,) = [line for line in lines if "answered" in line["message"]]
    assert (line["level"], line["run_id"]) == ("info", run_id)
    assert "started" in [line["message"] for line in lines]


def test_a_port_in_use_is_reported_in_one_sentence():
    """It has the remedy."""
    server = serve()
    port = server.url.rpartition(":")[2]
    with pytest.raises(RuntimeError, match=r"already in use.*choose another port with --port"):
        ServerProcess([f"--port={port}", "--backend=tests.backends_for_tests:quick", f"--jwt-secret={SECRET}"])
    assert server.stop() == 0


def test_a_low_limit_on_open_files_is_reported_at_the_start():
    """The soft limit is raised to the hard one."""
    script = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 500)); "
    script += "from persona_stream.server.wsgi import raise_file_limit; print(raise_file_limit(1000)); "
    script += "print(resource.getrlimit(resource.RLIMIT_NOFILE)); print(raise_file_limit(300))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    warning, limits, no_warning = done.stdout.splitlines()
    assert "may open 500 files, and max_runs=1000 needs 1100" in warning
    assert (limits, no_warning) == ("(500, 500)", "None")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 500, "only the child's limit was lowered"


def test_reload_restarts_when_a_source_file_changes(tmp_path: Path):
    """The new code serves, and one Ctrl-C stops everything."""
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
    time.sleep(0.2)  # a child that was left behind would listen again by then
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url + "/healthz", timeout=5)


def test_sigterm_ends_a_reloading_server_with_its_child(tmp_path: Path):
    """Otherwise the child would keep the port."""
    (tmp_path / "bot.py").write_text("def ask(message):\n    return 'answer'\n")
    flags = ["--reload", "--backend=bot:ask", f"--jwt-secret={SECRET}", f"--state-dir={tmp_path}"]
    server = ServerProcess(flags, {"PYTHONPATH": str(tmp_path), "PWD": str(tmp_path)}, cwd=tmp_path)
    server.process.terminate()
    server.process.wait(20)
    server.stop()
    assert "KeyboardInterrupt" not in server.log
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url + "/healthz", timeout=5)
