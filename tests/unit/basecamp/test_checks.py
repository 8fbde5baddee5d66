from __future__ import annotations

from collections.abc import Callable

from basecamp.services.checks import SourceChecks
from basecamp.services.clock import ManualClock
from basecamp.services.specs import Specs
from dataspec.catalog_reader import CatalogReader
from dataspec.spec_cache import MemorySpecCache
from dataspec.store import MemoryStore


def test_a_check_tells_whose_source_has_changed_since_the_last(
    store: MemoryStore, clock: ManualClock, register: Callable[..., object], publish: Callable[..., None]
) -> None:
    checks = SourceChecks(Specs(CatalogReader(store, MemorySpecCache()), clock), clock, interval_seconds=300)
    register()
    assert checks.check() == []
    publish()
    assert checks.check() == ["sales.daily: manual -> code"]
    assert checks.check() == []
    publish("sales.hourly")
    assert checks.check() == ["sales.hourly: none -> code"]
