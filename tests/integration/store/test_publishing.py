"""`dli code publish` into a real bucket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dataspec.catalog.publication import read_publication
from dataspec.errors import Conflict
from dataspec.store import MemoryStore
from dli.project.publish_apply import CodeWriter
from s3 import S3
from unit.dli.published import COMMIT, NOON, planned, publish, put_files, seen, spec, wanted

SHOP = {f"{letter}/{letter}.yaml": spec(f"shop.{letter}", sql=f"{letter}.sql") for letter in "abcde"} | {
    f"{letter}/{letter}.sql": f"create or replace table t as select '{letter}'" for letter in "abcde"
}
LATER = {path: text for path, text in SHOP.items() if not path.startswith("e/")} | {
    "a/a.yaml": spec("shop.a", sql="a.sql", cron="0 5 * * *"),
    "a/a.sql": "create or replace table t as select 'a2'",
    "b/b.sql": "create or replace table t as select 'b2'",
}

_KILLED_AT = """
import os, signal, sys
import obstore
left = int(sys.argv.pop(1))
sign = obstore.sign
def mortal(client, method, *arguments):  # each write is a signed URL
    global left
    left -= method == "PUT"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return sign(client, method, *arguments)
obstore.sign = mortal
from dli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path


def run_publish(project: Path, s3: S3, *, lives: int = 10_000) -> subprocess.CompletedProcess[str]:
    """Run the command, which is killed before its n-th write."""
    command = [sys.executable, "-c", _KILLED_AT, str(lives), "code", "publish", "--store", s3.url]
    environ = {**os.environ, **s3.environ, "GITHUB_SHA": "c0ffee", "GITHUB_REPOSITORY": "shop/etl"}
    return subprocess.run(
        command, cwd=project, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_publishes_into_a_bucket_and_the_next_one_finds_nothing_to_do(
    project: Path, s3: S3
) -> None:
    shop = put_files(project, SHOP)
    first = run_publish(project, s3)
    assert (first.returncode, first.stderr) == (0, "")
    store = s3.store()
    assert seen(store) == wanted(shop)
    publication = read_publication(store)
    assert publication is not None
    assert (publication.commit, publication.repository) == ("c0ffee", "shop/etl")
    again = run_publish(project, s3, lives=0)
    assert (again.returncode, again.stdout) == (0, "Published: 5 unchanged.\n")


@pytest.mark.rule("17.3")
def test_a_publish_that_is_killed_leaves_whole_datasets_and_the_next_one_finishes(
    project: Path, s3: S3
) -> None:
    old = wanted(put_files(project, SHOP))
    assert run_publish(project, s3).returncode == 0
    shop = put_files(project, LATER)
    new = wanted(shop)
    store = s3.store()
    for lives in (1, 2, 2, 1):
        assert run_publish(project, s3, lives=lives).returncode == -signal.SIGKILL
        found = seen(store)
        assert found.keys() >= new.keys()
        assert all(release in (old.get(name), new.get(name)) for name, release in found.items())
    assert run_publish(project, s3).returncode == 0
    assert seen(store) == new
    reference = MemoryStore()
    publish(reference, shop)
    left = {info.key for info in store.list("code/")} - {info.key for info in reference.list("code/")}
    assert all(".files/" in key for key in left)


@pytest.mark.rule("17.6")
def test_of_two_publishes_at_once_into_a_bucket_each_dataset_is_whole_and_the_later_is_told(
    project: Path, s3: S3
) -> None:
    store = s3.store()
    publish(store, put_files(project, SHOP))
    (project / "theirs").mkdir()
    mine, yours = (
        put_files(project, LATER),
        put_files(project / "theirs", LATER | {"a/a.sql": "create or replace table t as select 'ours'"}),
    )
    plans = [planned(store, mine), planned(store, yours)]
    told: list[Conflict] = []
    barrier = threading.Barrier(2)

    def write(number: int) -> None:
        barrier.wait(30)
        try:
            CodeWriter(s3.store(), plans[number], prune=True, now=lambda: NOON).write(COMMIT)
        except Conflict as error:
            told.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found = seen(store)
    assert len(told) == 1
    assert found["shop.a"] in (wanted(mine)["shop.a"], wanted(yours)["shop.a"])
    assert found["shop.b"] == wanted(mine)["shop.b"]


def test_credentials_that_may_not_write_are_told(project: Path, s3: S3) -> None:
    put_files(project, SHOP)
    done = run_publish(project, s3.secretly(AWS_SECRET_ACCESS_KEY="wrong"))
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("Error: The store refuses these credentials.")
    assert "wrong" not in done.stderr
