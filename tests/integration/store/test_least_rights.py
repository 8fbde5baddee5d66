"""The policies in the documentation are enough for each role, and give it no more."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.store_proof import prove_conditional_writes
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.catalog.spec_storage import Release, write_release
from dataspec.errors import StoreUnreachable
from dataspec.store import Store
from dataspec.store.base import MISSING
from dli_airflow.mirror.store_mirror import StoreMirror
from s3 import S3
from unit.dli.published import publish, put_files, spec

PAGE = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
POLICIES = dict(
    zip(
        ("machines", "basecamp", "publisher"),
        re.findall(r"^```json\n(\{\n  \"Version\".*?)```", PAGE, re.MULTILINE | re.DOTALL),
        strict=True,
    )
)
SECRETS = ("basecamp/access/tokens/ab.json", "basecamp/audit/2024/01/15/x.outcome.json", "basecamp/runs.json")

Limited = Callable[[str], AbstractContextManager[S3]]


@pytest.fixture
def limited(s3: S3) -> Limited:
    """Give the place with the rights of a role alone."""
    if "BASECAMP_TEST_S3_URL" in os.environ:
        pytest.skip("users are made on the tests' own S3 server alone")
    parts = urlsplit(s3.url)

    def limited(role: str) -> AbstractContextManager[S3]:
        text = (
            POLICIES[role].replace("data-specs", parts.netloc).replace("prod/", f"{parts.path.strip('/')}/")
        )
        policy: dict[str, Any] = json.loads(text)
        return s3.limited_by(policy)

    return limited


@pytest.fixture
def filled(s3: S3) -> Store:
    """A store with specs, a broken one, a ledger, versions, and what only Basecamp may read."""
    store = s3.store()
    for name in ("shop.a", "shop.b", "shop.c"):
        write_release(
            store, f"manual/{name}.yaml", Release(spec(name, sql="q.sql").encode(), {"q.sql": "select 1"})
        )
    services = build_services(store, MemoryAirflow(), SystemClock())
    run_through(services.check.sync(), SystemClock())
    for name, body in (("shop.b", b"name: shop.b\ntype: Dataset\n"), ("shop.c", None)):
        stored = store.get(f"manual/{name}.yaml")
        assert stored is not None
        if body is None:
            store.delete(stored.key, expected=stored.etag)
        else:
            store.put(stored.key, body, expected=stored.etag)
    for key in SECRETS:
        if store.get(key) is None:
            store.put(key, b"{}", expected=MISSING)
    return store


def refused(act: Callable[[], object]) -> None:
    with pytest.raises(StoreUnreachable, match="The store refuses these credentials"):
        act()


def read(mirror: StoreMirror) -> str:
    return "".join(path.read_text() for path in sorted(mirror.path.iterdir()))


@pytest.fixture
def mirror_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[S3], StoreMirror]:
    def mirror_of(place: S3) -> StoreMirror:
        for name, value in place.environ.items():
            monkeypatch.setenv(name, value)
        return StoreMirror(tmp_path / "mirror", store_url=place.url, shards=4, base_url=None)

    return mirror_of


@pytest.mark.rule("26.86")
def test_airflows_machines_read_the_specs_the_ledger_and_versions_alone(
    filled: Store, limited: Limited, mirror_of: Callable[[S3], StoreMirror]
) -> None:
    assert filled.get(LEDGER_KEY) is not None
    with limited("machines") as place:
        mirror = mirror_of(place)
        assert mirror.refresh()
        text = read(mirror)
        for name in ("shop.a", "shop.b", "shop.c"):  # as it is, its last good version, removed
            assert f'"name":"{name}"' in text.replace(" ", "")
        store = place.store()
        for key in SECRETS:
            refused(lambda key=key: store.get(key))  # type: ignore[misc]
        refused(lambda: list(store.list("basecamp/")))
        refused(lambda: store.put("code/x.yaml", b"x", expected=MISSING))


@pytest.mark.rule("26.86")
def test_airflows_machines_take_a_store_that_nobody_has_written_to(
    limited: Limited, mirror_of: Callable[[S3], StoreMirror]
) -> None:
    """S3 answers "forbidden" for a ledger that does not exist, if the right to list is limited."""
    with limited("machines") as place:
        mirror_of(place).refresh()


@pytest.mark.rule("26.86")
def test_ci_publishes_and_reads_nothing_of_basecamps(filled: Store, limited: Limited, tmp_path: Path) -> None:
    project = put_files(tmp_path, {"a/d.yaml": spec("shop.d", sql="d.sql"), "a/d.sql": "select 1"})
    with limited("publisher") as place:
        store = place.store()
        publish(store, project)
        assert store.get("code/a/d.yaml") is not None
        assert filled.get(LEDGER_KEY) is not None
        for key in (*SECRETS, LEDGER_KEY):
            refused(lambda key=key: store.get(key))  # type: ignore[misc]
        refused(lambda: list(store.list("basecamp/")))
        refused(lambda: store.put("manual/x.yaml", b"x", expected=MISSING))


@pytest.mark.rule("26.86")
def test_basecamp_does_its_work_and_never_writes_to_code(filled: Store, limited: Limited) -> None:
    with limited("basecamp") as place:
        store = place.store()
        prove_conditional_writes(store)
        services = build_services(store, MemoryAirflow(), SystemClock())
        report = run_through(services.check.sync(idempotency_key="once"), SystemClock())
        assert {change.dataset_name for change in report.changes} >= {"shop.c"}
        refused(lambda: store.put("code/x.yaml", b"x", expected=MISSING))
    assert filled.get("code/x.yaml") is None
