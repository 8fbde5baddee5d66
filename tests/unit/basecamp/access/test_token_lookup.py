"""The caller of a request by an API token: revocation, guesses, outages, and the note of the last use."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from access_doubles import DAY, OPERATOR, WatchedStore, refused
from basecamp.access.principal import Principal
from basecamp.access.stored_credentials import MAX_UNKNOWN_AT_ONCE, OUTAGE_SECONDS, TRUSTED_SECONDS
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import NewToken, Tokens, digest_of, key_of
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import StoreUnreachable, Unauthorized, Unavailable


def guess() -> str:
    return f"dli_{secrets.token_urlsafe(32)}"


def settle(lookup: TokenLookup) -> None:
    """Wait for a listing that was begun in the background."""
    lookup._tokens._listing.next()


@pytest.mark.rule("26.30")
def test_token_names_its_caller(lookup: TokenLookup, made: NewToken) -> None:
    assert lookup.verify(made.text) == Principal(
        "ci", (OPERATOR,), "token", f"token {made.record.id}", made.record.expires_at
    )


@pytest.mark.rule("26.30")
def test_known_token_costs_no_read_of_the_store(
    lookup: TokenLookup, made: NewToken, watched: WatchedStore
) -> None:
    lookup.verify(made.text)
    before = watched.calls.copy()
    for _ in range(100):
        lookup.verify(made.text)
    assert watched.calls == before


@pytest.mark.rule("26.30")
def test_token_counts_at_once_on_a_server_that_has_just_listed_the_others(
    lookup: TokenLookup, made: NewToken, tokens: Tokens
) -> None:
    lookup.verify(made.text)
    new = tokens.create("new", OPERATOR, lifetime=DAY, created_by="root@host")
    assert lookup.verify(new.text).name == "new"


@pytest.mark.rule("26.32")
def test_revocation_counts_within_30_seconds_whether_requests_come_or_not(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, clock: ManualClock
) -> None:
    lookup.verify(made.text)
    tokens.revoke("ci")
    clock.advance(30)
    with refused("revoked"):
        lookup.verify(made.text)


@pytest.mark.rule("26.32")
def test_revocation_counts_within_30_seconds_under_a_stream_of_requests(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, clock: ManualClock
) -> None:
    lookup.verify(made.text)
    tokens.revoke("ci")
    refused_after = None
    for second in range(30):
        try:
            lookup.verify(made.text)
        except Unauthorized:
            refused_after = second
            break
        settle(lookup) if second == 12 else None
        clock.advance(1)
    assert refused_after is not None


def test_token_that_expires_is_refused_at_that_moment_though_it_is_known(
    lookup: TokenLookup, made: NewToken, clock: ManualClock
) -> None:
    lookup.verify(made.text)
    clock.advance((made.record.expires_at - clock.now()).total_seconds() - 0.001)
    lookup.verify(made.text)
    clock.advance(0.001)
    with refused("expired on 2024-01-16 at 09:30 UTC"):
        lookup.verify(made.text)


@pytest.mark.rule("26.35")
def test_text_that_is_no_token_costs_no_read(lookup: TokenLookup, watched: WatchedStore) -> None:
    for text in ("", "dli_", "dli_short", guess() + "x", guess() + "\n", "x" * 100_000, "dli_" + "é" * 43):
        with pytest.raises(Unauthorized):
            lookup.verify(text)
    assert not watched.calls


@pytest.mark.rule("26.35")
def test_same_wrong_token_is_looked_for_once_in_30_seconds(
    lookup: TokenLookup, watched: WatchedStore, clock: ManualClock
) -> None:
    wrong = guess()
    for _ in range(20):
        with pytest.raises(Unauthorized):
            lookup.verify(wrong)
    assert watched.calls["list"] == 2
    assert watched.calls["get"] == 0


@pytest.mark.rule("26.35")
def test_guesses_share_listings_hold_few_threads_and_shut_nobody_out(
    lookup: TokenLookup, made: NewToken, watched: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a listing under way, eight guesses wait for the next one; the others are told to come back."""
    lookup.verify(made.text)
    may_end, inner = threading.Event(), watched.list

    def slow_list(prefix: str) -> object:
        assert may_end.wait(120)
        return inner(prefix)

    monkeypatch.setattr(watched, "list", slow_list)
    before = watched.calls.copy()
    with ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(lookup.verify, guess()) for _ in range(40)]
        while sum(one.done() for one in guesses) < 40 - MAX_UNKNOWN_AT_ONCE:
            time.sleep(0.005)
        assert lookup.verify(made.text).name == "ci"
        may_end.set()
        errors = [type(one.exception()) for one in guesses]
    assert errors.count(Unavailable) == 40 - MAX_UNKNOWN_AT_ONCE
    assert errors.count(Unauthorized) == MAX_UNKNOWN_AT_ONCE
    assert watched.calls["list"] - before["list"] <= MAX_UNKNOWN_AT_ONCE + 1
    assert watched.calls["get"] == before["get"]


@pytest.mark.rule("26.36")
def test_silent_store_keeps_known_tokens_for_an_hour_and_answers_503_to_others(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, watched: WatchedStore, clock: ManualClock
) -> None:
    unseen = tokens.create("unseen", OPERATOR, lifetime=DAY, created_by="root@host")
    lookup.verify(made.text)
    watched.is_down = True
    clock.advance(600)
    assert lookup.verify(made.text).name == "ci"
    for text in (unseen.text, guess()):
        with pytest.raises(StoreUnreachable):
            lookup.verify(text)
    clock.advance(OUTAGE_SECONDS - 600)
    assert lookup.verify(made.text).name == "ci"
    clock.advance(1)
    with pytest.raises(StoreUnreachable):
        lookup.verify(made.text)
    watched.is_down = False
    assert lookup.verify(made.text).name == "ci"


@pytest.mark.rule("26.36")
def test_token_that_expires_while_the_store_is_silent_is_refused(
    tokens: Tokens, lookup: TokenLookup, watched: WatchedStore, clock: ManualClock
) -> None:
    short = tokens.create("short", OPERATOR, lifetime=DAY / 48, created_by="root@host")
    lookup.verify(short.text)
    watched.is_down = True
    clock.advance(1800)
    with refused("expired"):
        lookup.verify(short.text)


@pytest.mark.rule("26.36")
def test_silent_store_at_the_start_is_503_for_everybody(
    lookup: TokenLookup, made: NewToken, watched: WatchedStore
) -> None:
    watched.is_down = True
    with pytest.raises(StoreUnreachable):
        lookup.verify(made.text)


@pytest.mark.rule("26.37")
@pytest.mark.parametrize("body", [b"{", b'{"format": 99}', b"[]", b'{"id": 1}', b"[" * 50_000])
def test_token_whose_object_cant_be_read_is_refused_alone_and_named_in_the_log(
    lookup: TokenLookup,
    made: NewToken,
    tokens: Tokens,
    watched: WatchedStore,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
) -> None:
    other = tokens.create("other", OPERATOR, lifetime=DAY, created_by="root@host")
    key = key_of(digest_of(made.text))
    stored = watched.get(key)
    assert stored is not None
    watched.put(key, body, expected=stored.etag)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(Unauthorized):
                lookup.verify(made.text)
    assert lookup.verify(other.text).name == "other"
    assert [record.getMessage().count(key) for record in caplog.records] == [1]
    assert made.text not in caplog.text


@pytest.mark.rule("26.38")
def test_last_use_is_written_once_an_hour_in_the_background(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, watched: WatchedStore, clock: ManualClock
) -> None:
    before = watched.calls["put"]
    for _ in range(50):
        lookup.verify(made.text)
    assert watched.calls["put"] == before, "a request never writes"
    lookup.loop.call()
    lookup.loop.call()
    assert watched.calls["put"] == before + 1
    [record] = tokens.all().records
    assert record.last_used_at == clock.now().replace(microsecond=0)
    clock.advance(3599)
    lookup.verify(made.text)
    lookup.loop.call()
    assert watched.calls["put"] == before + 1
    clock.advance(2)
    lookup.verify(made.text)
    lookup.loop.call()
    assert watched.calls["put"] == before + 2


@pytest.mark.rule("26.38")
def test_last_use_that_cant_be_written_fails_no_request_and_is_written_later(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, watched: WatchedStore
) -> None:
    lookup.verify(made.text)
    watched.is_down = True
    assert lookup.loop.call() == 60
    lookup.verify(made.text)
    watched.is_down = False
    lookup.loop.call()
    assert tokens.all().records[0].last_used_at is not None


@pytest.mark.rule("26.38")
def test_note_of_the_last_use_never_brings_a_revoked_token_back(
    lookup: TokenLookup, made: NewToken, tokens: Tokens, watched: WatchedStore
) -> None:
    lookup.verify(made.text)
    tokens.revoke("ci")
    lookup.loop.call()
    assert watched.get(key_of(digest_of(made.text))) is None


def test_two_replicas_write_the_same_use_once(
    lookup: TokenLookup,
    made: NewToken,
    watched: WatchedStore,
    clock: ManualClock,
    objects: ObjectReader,
) -> None:
    other = TokenLookup(watched, clock, objects)
    before = watched.calls["put"]
    for replica in (lookup, other):
        replica.verify(made.text)
    for replica in (lookup, other):
        replica.loop.call()
    assert watched.calls["put"] == before + 1


def test_token_in_memory_is_known_without_a_call_of_the_store_until_the_listing_is_too_old(
    lookup: TokenLookup, made: NewToken, watched: WatchedStore, clock: ManualClock
) -> None:
    digest = digest_of(made.text)
    assert lookup.known_digest(digest) is None
    lookup.verify(made.text)
    before = watched.calls.copy()
    assert lookup.known_digest(digest) == lookup.lookup_digest(digest)
    assert watched.calls == before
    clock.advance(TRUSTED_SECONDS + 1)
    assert lookup.known_digest(digest) is None
    assert watched.calls == before


@pytest.mark.rule("26.33")
def test_server_without_api_tokens_accepts_those_of_logins_alone(
    made: NewToken, tokens: Tokens, watched: WatchedStore, clock: ManualClock, objects: ObjectReader
) -> None:
    lookup = TokenLookup(watched, clock, objects, logins_only=True)
    person = Principal("alice", (OPERATOR,), "session", "https://id 17")
    login = tokens.mint_login(person, "laptop")
    for _ in range(2):
        assert lookup.verify(login.text).name == "alice"
        with refused("API tokens are not accepted here"):
            lookup.verify(made.text)
        with refused("API tokens are not accepted here"):
            lookup.known(made.text)
