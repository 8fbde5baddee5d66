"""Tokens on a store that counts its calls."""

from __future__ import annotations

import pytest

from access_doubles import DAY, OPERATOR, WatchedStore
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import NewToken, Tokens
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader


@pytest.fixture
def watched(clock: ManualClock) -> WatchedStore:
    return WatchedStore(clock)


@pytest.fixture
def tokens(watched: WatchedStore, clock: ManualClock) -> Tokens:
    return Tokens(watched, clock)


@pytest.fixture
def objects(watched: WatchedStore, clock: ManualClock) -> ObjectReader:
    return ObjectReader(watched, clock)


@pytest.fixture
def lookup(watched: WatchedStore, clock: ManualClock, objects: ObjectReader) -> TokenLookup:
    return TokenLookup(watched, clock, objects)


@pytest.fixture
def made(tokens: Tokens) -> NewToken:
    return tokens.create("ci", OPERATOR, lifetime=DAY, created_by="root@host")
