"""``persona-stream doctor`` behind a real nginx with each of the configurations that harm streams."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nginx import needs_nginx, nginx_site
from tests.server_process import ROOT, ServerProcess, serve, token

pytestmark = [needs_nginx, pytest.mark.heavy]

FORWARD = "proxy_pass http://127.0.0.1:UPSTREAM;"  # nginx speaks HTTP/1.0 to it, unless told otherwise
IGNORING = "proxy_ignore_headers X-Accel-Buffering;"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Serve any backend."""
    served = serve("tests.backends_for_tests:quick")
    yield served
    served.stop()


def examine(url: str, *options: str) -> tuple[int, str]:
    """Run the command; return its exit code and output."""
    command = [sys.executable, "-m", "persona_stream", "doctor", url, "--token", token(), "--seconds", "4", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_direct_connection_is_healthy(server: ServerProcess) -> None:
    """Every line says so."""
    code, output = examine(server.url, "--hold", "2")
    assert code == 0, output
    assert "!!" not in output
    assert "A connection survives 2 s of silence" in output


@pytest.mark.parametrize(
    ("more", "options", "found", "advice"),
    [
        ("", ("--hold", "2"), None, ""),
        (
            f"proxy_http_version 1.0; proxy_buffering on; {IGNORING}",
            ("--quick",),
            "A proxy buffers",
            "proxy_buffering off",
        ),
        (
            f"gzip on; gzip_types text/event-stream; gzip_min_length 1; {IGNORING}",
            ("--quick",),
            "compresses the response (gzip)",
            "gzip_types",
        ),
        (
            "proxy_read_timeout 5s;",
            ("--hold", "8"),
            "8 s of silence was cut by nginx after 5 s",
            "proxy_read_timeout 28s",
        ),
        ('proxy_set_header Authorization "";', ("--quick",), "401", "removes the header Authorization"),
    ],
    ids=["healthy", "buffering", "gzip", "read timeout", "authorization"],
)
def test_the_fault_of_a_proxy_is_named(
    server: ServerProcess, tmp_path: Path, more: str, options: tuple[str, ...], found: str | None, advice: str
) -> None:
    """With what to change in its configuration."""
    forward = FORWARD.replace("UPSTREAM", server.url.rpartition(":")[2])
    with nginx_site(tmp_path, f"location / {{ {forward} {more} }}") as url:
        code, output = examine(url, *options)
    if found is None:
        assert (code, "passes through nginx" in output, "!!" in output) == (0, True, False), output
    else:
        assert code == 1
        assert found in output
        assert advice in output
