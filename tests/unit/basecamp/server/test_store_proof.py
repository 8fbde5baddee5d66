"""The check that a store honours conditional writes."""

from __future__ import annotations

import pytest

from basecamp.server.store_proof import prove_conditional_writes
from dataspec.errors import InvalidSettings, StoreUnreachable
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING, PreconditionFailed


class OverwritingStore(MemoryStore):
    """Ignores what the writer expects, as some look-alikes of S3 do."""

    ignored: tuple[str, ...] = ("create", "swap")

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        kind = "create" if expected == MISSING else "swap"
        stored = self.get(key)
        if kind in self.ignored:
            expected = stored.etag if stored else MISSING
        return super().put(key, body, expected=expected)


class RefusingStore(MemoryStore):
    """Never accepts an ETag."""

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        if expected != MISSING:
            raise PreconditionFailed(key)
        return super().put(key, body, expected=expected)


class ReadOnlyStore(MemoryStore):
    def put(self, key: str, body: bytes, *, expected: str) -> str:
        raise StoreUnreachable("The store refuses these credentials.")


class TimeStore(MemoryStore):
    """Tells all contents by one ETag, so that a change can't be seen."""

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        super().put(key, b"", expected=expected)
        return self.get(key).etag  # type: ignore[union-attr]


def test_a_sound_store_passes_and_nothing_is_left_in_it() -> None:
    store = MemoryStore()
    prove_conditional_writes(store)
    assert not list(store.list(""))


@pytest.mark.rule("5.11")
@pytest.mark.parametrize(
    ("ignored", "told"),
    [
        (("create",), "to be created only"),
        (("swap",), "that has changed"),
        (("create", "swap"), "to be created only"),
    ],
)
def test_a_store_that_overwrites_is_refused_and_nothing_is_left_in_it(
    ignored: tuple[str, ...], told: str
) -> None:
    store = OverwritingStore()
    store.ignored = ignored
    with pytest.raises(InvalidSettings, match=told):
        prove_conditional_writes(store)
    assert not list(store.list(""))


def test_a_store_that_takes_no_etag_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="refuses a write with the right ETag"):
        prove_conditional_writes(RefusingStore())


def test_a_store_whose_etags_tell_nothing_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="does not honour conditional writes"):
        prove_conditional_writes(TimeStore())


def test_a_store_that_refuses_all_writes_is_reported_as_such() -> None:
    with pytest.raises(StoreUnreachable, match="refuses these credentials"):
        prove_conditional_writes(ReadOnlyStore())
