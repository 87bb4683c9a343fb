"""Private nginx: with the configuration in ``deploy/nginx.conf``, or with any site over plain HTTP."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ports import free_port
from tests.server_process import ROOT

# Debian installs it outside the PATH of normal users.
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CURL = shutil.which("curl")

needs_nginx = pytest.mark.skipif(
    (PROGRAM is None or CURL is None) and os.environ.get("CI") != "true",
    reason="needs nginx and curl: apt-get install nginx curl",
)

_MAIN = """
daemon off;
pid FOLDER/pid;
error_log FOLDER/error.log info;
worker_processes 1;
USER
events { worker_connections 1024; }
http {
    access_log FOLDER/access.log;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    SITES
}
"""


class Nginx:
    """nginx process with ``deploy/nginx.conf``, in which only addresses and paths are changed.

    Attributes:
        url: the URL of the site, over TLS.
        certificate: the certificate to trust.
        more: the port of the additional configuration, in which ``PORT`` and ``SITE`` are replaced.
    """

    def __init__(self, folder: Path, upstreams: Sequence[str], more: str = "") -> None:
        self._folder = folder
        self.plain = free_port()
        self.more = free_port()
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        _create_certificate(self.certificate, key)
        site = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        for shipped, here in (
            ("10.0.0.11:5001", upstreams[0]),
            ("10.0.0.12:5001", upstreams[1]),
            ("listen 80;", f"listen 127.0.0.1:{self.plain};"),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/ssl/chat.example.com.pem", str(self.certificate)),
            ("/etc/ssl/chat.example.com.key", str(key)),
        ):
            assert site.count(shipped) == 1, shipped
            site = site.replace(shipped, here)
        (folder / "site.conf").write_text(site, "utf-8")
        (folder / "more.conf").write_text(more.replace("PORT", str(self.more)).replace("SITE", self.url), "utf-8")
        self.process = _start(folder, f"include {folder}/site.conf; include {folder}/more.conf;")
        _wait_for(port, self.process, folder)

    @property
    def log(self) -> str:
        """Content of the error log."""
        return _log(self._folder)

    def close(self) -> None:
        """Stop nginx."""
        _stop(self.process)


@contextmanager
def nginx_site(folder: Path, site: str) -> Iterator[str]:
    """Run nginx with the content of a ``server`` for the block; return its URL."""
    port = free_port()
    process = _start(folder, f"server {{ listen 127.0.0.1:{port}; {site} }}")
    try:
        _wait_for(port, process, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _start(folder: Path, sites: str) -> subprocess.Popen[bytes]:
    user = "user root;" if os.geteuid() == 0 else ""  # its workers must have access to the folder
    text = _MAIN.replace("FOLDER", str(folder)).replace("USER", user).replace("SITES", sites)
    (folder / "nginx.conf").write_text(text, "utf-8")
    arguments = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    return subprocess.Popen([str(PROGRAM), *arguments])


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, _log(folder)
            assert time.monotonic() < until, _log(folder)
            time.sleep(0.02)  # polling interval


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=20)


def _log(folder: Path) -> str:
    return (folder / "error.log").read_text("utf-8")


def _create_certificate(certificate: Path, private_key: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "persona_stream tests")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
