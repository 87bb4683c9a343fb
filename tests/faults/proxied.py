"""Private nginx that forwards plain HTTP, with any configuration of its site."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.nginx import PROGRAM
from tests.ports import free_port

_CONFIGURATION = """
daemon off;
pid FOLDER/pid;
USER
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server { listen 127.0.0.1:PORT; SITE }
}
"""


@contextmanager
def nginx_site(folder: Path, site: str) -> Iterator[str]:
    """Run nginx with a site for the block; return its URL."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    text = _CONFIGURATION.replace("FOLDER", str(folder)).replace("USER", user)
    (folder / "nginx.conf").write_text(text.replace("PORT", str(port)).replace("SITE", site), "utf-8")
    arguments = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen([PROGRAM, *arguments])
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "error.log").read_text("utf-8")
                assert time.monotonic() < until
                time.sleep(0.02)  # polling interval
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
