"""A real nginx for tests: Debian's, on loopback, with the site of ``deploy/nginx.conf`` and its ports and files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

NEEDS = "a real nginx for tests needs: sudo apt install --no-install-recommends nginx-light"
SITE = Path(__file__).resolve().parents[1] / "deploy" / "nginx.conf"
HOST = "127.0.0.2"
"""The address at which the proxy is reached: another one of this machine than the server's."""
READY_SECONDS = 180

MAIN = """\
{user}daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def program() -> str:
    """Return nginx' path; skip the test where there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(NEEDS)
    return found


def site(ports: dict[str, int], certificate: Path, key: Path) -> str:
    """Return the site as deployed, with other addresses, ports and files.

    Args:
        ports: ``plain``, ``tls`` and ``basecamp``.
        certificate: The proxy's certificate, with its chain.
        key: Its key.
    """
    text = SITE.read_text(encoding="utf-8")
    for written, here in {
        "listen 80;": f"listen {HOST}:{ports['plain']};",
        "listen 443 ssl http2;": f"listen {HOST}:{ports['tls']} ssl http2;",
        "server_name basecamp.example.com;": f"server_name {HOST};",
        "server 127.0.0.1:8800;": f"server 127.0.0.1:{ports['basecamp']};",
        "/etc/ssl/certs/basecamp.pem": str(certificate),
        "/etc/ssl/private/basecamp.key": str(key),
    }.items():
        assert written in text, written
        text = text.replace(written, here)
    return text


@contextmanager
def running(folder: Path, text: str, port: int) -> Iterator[None]:
    """Run nginx with a site; it listens when this yields."""
    (folder / "site.conf").write_text(text, encoding="utf-8")
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program(), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], stderr=log
        )
    try:
        _await_ready(port, process, folder / "log")
        yield
    finally:
        process.terminate()
        process.wait(timeout=READY_SECONDS)


def _await_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        else:
            return


class Company:
    """A company's own certificate authority, and a certificate for the proxy's address."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.bundle = folder / "company.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self._authority = authority
        self.issue()

    def issue(self) -> None:
        """Write a new certificate and its key."""
        issued = self._authority.issue_cert(HOST, "127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
