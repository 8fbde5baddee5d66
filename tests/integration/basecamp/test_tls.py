"""HTTPS by ``basecamp serve`` itself: its certificate, its mistakes, and clients that don't finish a handshake."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from integration.basecamp.test_serve import Serve, refused, settings
from nginx import Company


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return Company(tmp_path_factory.mktemp("company"))


@pytest.fixture(scope="module")
def server(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    folder = tmp_path_factory.mktemp("tls")
    options = ("--tls-cert", str(company.certificate), "--tls-key", str(company.key))
    serve = Serve(settings(folder), folder / "log", *options)
    serve.url()
    yield serve
    serve.process.kill()
    serve.process.wait()


def serial(url: str, company: Company) -> int:
    """Return the serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=str(company.bundle))
    host, port = httpx.URL(url).host, httpx.URL(url).port
    with (
        socket.create_connection((host, port or 443), timeout=120) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        found = wrapped.getpeercert()
    assert found
    return int(str(found["serialNumber"]), 16)


@pytest.mark.rule("26.91")
def test_the_command_line_reaches_it_by_the_companys_authority_alone(
    server: Serve, company: Company, tmp_path: Path
) -> None:
    url = server.url()
    assert url.startswith("https://")
    command = [sys.executable, "-m", "dli", "workflow", "list", "--server-url", url]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    known = subprocess.run(
        command,
        cwd=tmp_path,
        env=environ | {"SSL_CERT_FILE": str(company.bundle)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # The certificate is accepted: what fails is the Airflow that is not there.
    assert "Airflow" in known.stdout + known.stderr
    unknown = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert unknown.returncode == 5
    assert "certificate" in unknown.stderr


@pytest.mark.rule("26.91")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_refused(server: Serve, company: Company) -> None:
    context = ssl.create_default_context(cafile=str(company.bundle))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url()}/healthz", verify=context, timeout=120)


@pytest.mark.rule("26.91")
def test_a_client_that_begins_no_handshake_is_hung_up_on(server: Serve) -> None:
    url = httpx.URL(server.url())
    with socket.create_connection((url.host, url.port or 443), timeout=300) as silent:
        assert silent.recv(1) == b""


@pytest.mark.rule("26.92")
def test_a_renewed_certificate_is_taken_without_a_restart(company: Company, tmp_path: Path) -> None:
    options = ("--tls-cert", str(company.certificate), "--tls-key", str(company.key))
    server = Serve(settings(tmp_path), tmp_path / "log", *options)
    try:
        before = serial(server.url(), company)
        company.certificate.write_text("half of a certificate")
        server.wait_until(lambda: "The renewed certificate is not used" in server.log, seconds=240)
        assert serial(server.url(), company) == before
        company.issue()
        server.wait_until(lambda: "was read again" in server.log, seconds=240)
        assert serial(server.url(), company) != before
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.rule("26.91")
def test_files_that_are_no_certificate_end_the_start_in_one_line(company: Company, tmp_path: Path) -> None:
    environment = settings(tmp_path)
    certificate, key = str(company.certificate), str(company.key)
    encrypted, other = tmp_path / "encrypted.key", Company(tmp_path)
    private = serialization.load_pem_private_key(company.key.read_bytes(), None)
    encrypted.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for options, words in {
        ("--tls-cert", certificate): "TLS needs both --tls-cert and --tls-key.",
        ("--tls-key", key): "TLS needs both --tls-cert and --tls-key.",
        (
            "--tls-cert",
            "/nowhere.pem",
            "--tls-key",
            key,
        ): "Can't read '/nowhere.pem': No such file or directory.",
        ("--tls-cert", key, "--tls-key", key): "are not a certificate and its key, in PEM",
        ("--tls-cert", certificate, "--tls-key", str(other.key)): "are not a certificate and its key, in PEM",
        ("--tls-cert", certificate, "--tls-key", str(encrypted)): "is encrypted: store it without a password",
    }.items():
        done = refused(environment, *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert words in done.stderr
