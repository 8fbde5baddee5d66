"""`basecamp serve` on real S3 servers: one that honours conditional writes, and one that passes over them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from s3 import S3

STARTS_WITHIN_SECONDS = 180
RCLONE = Path(sys.executable).parent / "rclone"


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[S3]:
    """An S3 server that ignores `If-Match` and `If-None-Match` in silence."""
    kept, log = tmp_path / "kept", tmp_path / "rclone.log"
    (kept / "bucket").mkdir(parents=True)
    command = [str(RCLONE), "serve", "s3", str(kept), "--addr", "127.0.0.1:0", "--config", os.devnull]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--auth-key", "careless,careless-secret"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while not (found := re.search(r"on \[(http://127\.0\.0\.1:\d+)/\]", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        keys = {"AWS_ACCESS_KEY_ID": "careless", "AWS_SECRET_ACCESS_KEY": "careless-secret"}
        yield S3("s3://bucket/prod", {"AWS_ENDPOINT_URL": found[1], "AWS_REGION": "us-east-1", **keys})
    finally:
        process.kill()
        process.wait()


def start(place: S3, **environ: str) -> subprocess.Popen[str]:
    settings = {
        "PATH": os.environ["PATH"],
        "BASECAMP_STORE_URL": place.url,
        "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
        "BASECAMP_AIRFLOW_AUTH": "none",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "basecamp", "serve", "--port", "0"],
        env={**settings, **place.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def refusal(place: S3, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Start a server that must refuse to; return its exit status and what it said."""
    with start(place, **(environ or {})) as process:
        try:
            said, _ = process.communicate(timeout=STARTS_WITHIN_SECONDS)
        finally:
            process.kill()
    return process.returncode, said


@pytest.mark.rule("5.11")
def test_a_server_that_ignores_conditions_is_refused_in_one_line(careless: S3) -> None:
    status, said = refusal(careless)
    assert status == 2
    told = "does not honour conditional writes: it overwrites an object that was to be created only."
    assert said == f"Error: The store s3://bucket/prod {told} Use a store that does, such as S3.\n"
    assert list(careless.store().list("")) == []


def test_a_server_that_honours_them_is_accepted_and_nothing_is_left_in_it(s3: S3) -> None:
    with start(s3) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            while not any("Basecamp listens on " in line for line in said):
                line = process.stdout.readline()
                assert line, said
                said.append(line)
        finally:
            process.kill()
            process.communicate()
    assert [info.key for info in s3.store().list("basecamp/probe-")] == []


@pytest.mark.rule("5.11")
def test_ceph_without_its_setting_is_refused_and_the_setting_named(s3: S3) -> None:
    if "unquoted_etags=true" not in s3.url:
        pytest.skip("this server takes ETags as they are")
    status, said = refusal(S3(s3.url.partition("?")[0], s3.environ))
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "?unquoted_etags=true" in said


@pytest.mark.rule("18.4")
def test_a_server_that_refuses_the_credentials_or_has_no_such_bucket_ends_the_start(s3: S3) -> None:
    secret = "a-secret-that-nobody-may-see"
    status, said = refusal(s3, {"AWS_SECRET_ACCESS_KEY": secret})
    assert status == 5
    assert "AWS_SECRET_ACCESS_KEY" in said
    assert secret not in said
    status, said = refusal(s3.in_bucket("dli-tests-no-such-bucket"))
    assert status == 5
    assert "bucket does not exist" in said


@pytest.mark.rule("5.1")
def test_credentials_in_the_address_are_refused_without_showing_them() -> None:
    status, said = refusal(S3("s3://KEY:very-secret@bucket/prod", {}))
    assert status == 2
    assert "AWS_ACCESS_KEY_ID" in said
    assert "very-secret" not in said
