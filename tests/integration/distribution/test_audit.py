"""`make audit`, with a stand-in of the advisory database on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from s3 import free_port
from stacks import REPOSITORY

pytestmark = pytest.mark.xdist_group("distribution")

HOLE = {
    "id": "GHSA-xxxx-xxxx-xxxx",
    "affected": [
        {
            "package": {"name": "pytz", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999"}]}],
        }
    ],
}


@contextmanager
def advisories(answer: Mapping[str, Any]) -> Iterator[str]:
    """Serve one answer to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    lock = folder / "audited.lock"
    lock.write_text("pytz==2024.1 --hash=sha256:" + "0" * 64 + "\n")
    return subprocess.run(
        ["sh", REPOSITORY / ".ci" / "audit", lock],
        env=os.environ | {"OSV_URL": url, "DIST": str(folder / "dist")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.rule("29.7")
def test_a_database_that_can_not_be_reached_is_a_failure_of_its_own(tmp_path: Path) -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query", tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "was not audited, because the advisory database can't be reached. Try again where it can.\n"
    )
    assert "No known holes" not in done.stdout


@pytest.mark.rule("29.7")
def test_a_known_hole_is_a_failure_and_none_a_success_with_the_bill_of_materials(tmp_path: Path) -> None:
    with advisories({"vulns": [HOLE]}) as url:
        done = audit(url, tmp_path)
    assert (done.returncode, "Known holes in" in done.stderr) == (1, True)
    assert "GHSA-xxxx-xxxx-xxxx" in (tmp_path / "dist" / "audit-audited.json").read_text()
    with advisories({}) as url:
        done = audit(url, tmp_path)
    assert (done.returncode, done.stdout.endswith("No known holes.\n")) == (0, True), done.stderr
    bill = json.loads((tmp_path / "dist" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "dli-basecamp"
    names = {component["name"] for component in bill["components"]}
    assert {"fastapi", "pydantic", "sqlglot"} <= names
