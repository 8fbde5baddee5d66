"""A notice of a switch of source names its commit, although the publication is written last."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from basecamp.sync.diff import SourceSwitch
from basecamp.sync.notices import PATIENCE_SECONDS, SourceChangeNotices
from dataspec.catalog.ledger import KeptVersion, LedgerEntry
from dataspec.catalog.publication import PUBLICATION_KEY
from dataspec.models import SourceType
from dataspec.spec.parse import parse_spec
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

YAML = b"""\
name: a
type: Dataset
owner: ann@example.com
query_statement: select 1
schedule:
  cron: 0 9 * * *
  notifications: {on_source_change: [{type: slack, channel: "#data"}]}
"""


def entry(source: SourceType, at: datetime) -> LedgerEntry:
    version = KeptVersion(key=f"{source}/a.yaml", spec_hash="0", written_at=at)
    return LedgerEntry(since=at, source=source, versions={source: version})


class Shop:
    """A store whose ledger has just moved on, and what is told of a change in it."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2024, 1, 15, 9, 30, tzinfo=UTC))
        self.store = MemoryStore(now=self.clock.now)
        self.told: list[Any] = []

    def publish(self, commit: str, published_at: datetime) -> None:
        body = {"commit": commit, "repository": None, "ref": None, "by": "ci"}
        known = self.store.get(PUBLICATION_KEY)
        content = json.dumps(body | {"published_at": published_at.isoformat()}).encode()
        self.store.put(PUBLICATION_KEY, content, expected=known.etag if known else MISSING)

    def commit_told(self) -> str | None:
        now = self.clock.now()
        file = SimpleNamespace(spec=parse_spec(YAML, file="a.yaml"))
        switch: Any = SourceSwitch(
            name="a", before=entry(SourceType.MANUAL, now), after=entry(SourceType.CODE, now)
        )
        ledger = SimpleNamespace(moved_at=now - timedelta(seconds=1))
        catalog: Any = SimpleNamespace(effective={"a": file}, ledger=ledger)
        versions: Any = SimpleNamespace(files=lambda _: {})
        outbox: Any = SimpleNamespace(announce=self.told.extend)
        notices = SourceChangeNotices(self.store, versions, outbox, self.clock)
        run_through(notices.announce([switch], catalog), self.clock)
        [(change, _)] = self.told
        commit: str | None = change.commit
        return commit


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.rule("6.8")
def test_a_check_between_two_writes_of_a_publisher_waits_for_the_publication(shop: Shop) -> None:
    shop.publish("before", shop.clock.now() - timedelta(days=1))
    shop.clock.on_wait.append(lambda: shop.publish("4f2a91c", shop.clock.now()))
    assert shop.commit_told() == "4f2a91c"


@pytest.mark.rule("6.8")
def test_a_change_without_a_publication_is_announced_without_a_commit_after_a_wait(shop: Shop) -> None:
    shop.publish("before", shop.clock.now() - timedelta(days=1))
    began = shop.clock.monotonic()
    assert shop.commit_told() is None
    assert PATIENCE_SECONDS <= shop.clock.monotonic() - began < PATIENCE_SECONDS + 1


@pytest.mark.rule("6.8")
def test_without_any_publication_there_is_no_wait(shop: Shop) -> None:
    began = shop.clock.monotonic()
    assert shop.commit_told() is None
    assert shop.clock.monotonic() == began


@pytest.mark.rule("5.21", "5.22")
@pytest.mark.parametrize("body", [b'{"format": 99}', b"{"], ids=["newer", "damaged"])
def test_a_publication_that_can_not_be_read_keeps_no_notice_back(shop: Shop, body: bytes) -> None:
    shop.store.put(PUBLICATION_KEY, body, expected=MISSING)
    assert shop.commit_told() is None
