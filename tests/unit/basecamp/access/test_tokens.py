"""API tokens: what is stored of them, their names, and how they are revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from access_doubles import DAY, OPERATOR, WatchedStore, refused
from basecamp.access.principal import Grant, Principal, Role
from basecamp.access.token_lookup import TokenLookup
from basecamp.access.tokens import ENDED_STAY, PREFIX, NewToken, Tokens
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.errors import InvalidUsage, NotFound, Refused, Unauthorized
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

ALICE = Principal(
    "alice", (Grant(Role.EDITOR, frozenset({"@ops"})), Grant(Role.VIEWER)), "session", "https://id 17"
)


@pytest.mark.rule("26.30")
def test_token_has_256_random_bits_and_its_text_is_stored_nowhere(
    watched: WatchedStore, tokens: Tokens, made: NewToken
) -> None:
    other = tokens.create("other", OPERATOR, lifetime=DAY, created_by="root@host")
    assert re.fullmatch(r"dli_[A-Za-z0-9_-]{43}", made.text)
    assert made.text != other.text
    [key, _] = sorted(info.key for info in watched.list(PREFIX))
    stored = watched.get(key)
    assert stored is not None
    assert re.fullmatch(PREFIX + r"[0-9a-f]{64}\.json", key)
    for secret in (made.text, made.text[4:], other.text):
        assert secret.encode() not in stored.body
    assert made.text not in repr(made)


@pytest.mark.rule("26.31")
def test_two_living_tokens_never_share_a_name(
    tokens: Tokens, made: NewToken, clock: ManualClock, watched: WatchedStore
) -> None:
    with pytest.raises(Refused, match="named 'ci' already"):
        tokens.create("ci", OPERATOR, lifetime=DAY, created_by="root@host")
    clock.advance(DAY.total_seconds() + 1)
    tokens.create("ci", OPERATOR, lifetime=DAY, created_by="root@host")
    assert [record.name for record in tokens.all().records] == ["ci", "ci"]


@pytest.mark.rule("26.31")
def test_token_made_at_the_same_moment_under_the_same_name_is_taken_back(
    tokens: Tokens, watched: WatchedStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's token arrives between the check of the name and the write."""
    put = watched.put

    def put_after_another(key: str, body: bytes, *, expected: str) -> str:
        monkeypatch.setattr(watched, "put", put)
        Tokens(watched, clock).create("ci", OPERATOR, lifetime=DAY, created_by="other@host")
        return put(key, body, expected=expected)

    monkeypatch.setattr(watched, "put", put_after_another)
    with pytest.raises(Refused):
        tokens.create("ci", OPERATOR, lifetime=DAY, created_by="root@host")
    assert [record.created_by for record in tokens.all().records] == ["other@host"]


@pytest.mark.parametrize("name", ["", "a b", "login:alice@laptop", "a\nb", "\u001b[31m", "x" * 101, "-x"])
def test_name_that_would_forge_a_list_or_a_login_is_refused(tokens: Tokens, name: str) -> None:
    with pytest.raises(InvalidUsage, match="can't name a token"):
        tokens.create(name, OPERATOR, lifetime=DAY, created_by="root@host")
    assert not tokens.all().records


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=367)])
def test_every_token_has_an_end(tokens: Tokens, lifetime: timedelta) -> None:
    with pytest.raises(InvalidUsage, match="1 to 366 days"):
        tokens.create("ci", OPERATOR, lifetime=lifetime, created_by="root@host")


@pytest.mark.rule("26.33")
def test_token_of_a_login_acts_as_the_person_with_all_their_grants(
    tokens: Tokens, lookup: TokenLookup, clock: ManualClock
) -> None:
    new = tokens.mint_login(ALICE, "lap\x1btop")
    found = lookup.verify(new.text)
    assert (found.name, found.identity, found.method) == ("alice", "https://id 17", "token")
    assert set(found.grants) == set(ALICE.grants)
    assert new.record.name == "login:alice@laptop"
    clock.advance(30 * DAY.total_seconds())
    with refused("expired"):
        lookup.verify(new.text)


@pytest.mark.rule("26.33")
def test_token_is_revoked_by_name_by_id_and_by_its_text(tokens: Tokens, made: NewToken) -> None:
    by_id = tokens.create("b", OPERATOR, lifetime=DAY, created_by="root@host")
    given_back = tokens.mint_login(ALICE, "laptop")
    assert [record.id for record in tokens.revoke("ci")] == [made.record.id]
    assert [record.name for record in tokens.revoke(by_id.record.id)] == ["b"]
    tokens.revoke_text(given_back.text)
    tokens.revoke_text(given_back.text)
    tokens.revoke_text("no token")
    assert not tokens.all().records
    with pytest.raises(NotFound):
        tokens.revoke("ci")


def test_damaged_object_hides_no_other_token(tokens: Tokens, made: NewToken, watched: WatchedStore) -> None:
    watched.put(f"{PREFIX}{'0' * 64}.json", b"{", expected=MISSING)
    found = tokens.all()
    assert [record.name for record in found.records] == ["ci"]
    assert ["0" * 64 in error.title for error in found.unreadable] == [True]
    tokens.revoke("ci")
    assert not tokens.all().records


@pytest.mark.rule("26.34")
def test_housekeeping_removes_tokens_that_expired_long_ago(
    services: Services, store: MemoryStore, clock: ManualClock
) -> None:
    services.tokens.create("old", OPERATOR, lifetime=DAY, created_by="root@host")
    services.tokens.create("new", OPERATOR, lifetime=60 * DAY, created_by="root@host")
    newer = f"{PREFIX}{'0' * 64}.json"
    store.put(newer, b'{"format": 9, "expires_at": "2000-01-01T00:00:00Z"}', expected=MISSING)
    clock.advance((DAY + ENDED_STAY).total_seconds() - 1)
    services.housekeeping.clean()
    assert {record.name for record in services.tokens.all().records} == {"old", "new"}
    clock.advance(2)
    services.housekeeping.clean()
    assert {record.name for record in services.tokens.all().records} == {"new"}
    assert store.get(newer) is not None


@pytest.mark.rule("26.33")
def test_login_that_a_token_approved_ends_with_that_token(tokens: Tokens) -> None:
    short = tokens.create("short", OPERATOR, lifetime=3 * DAY, created_by="root@host").record
    login = tokens.mint_login(short.principal(), "laptop").record
    assert login.expires_at == short.expires_at
    other = tokens.mint_login(ALICE, "laptop").record

    assert {record.id for record in tokens.revoke("short")} == {short.id, login.id}
    assert [record.id for record in tokens.all().records] == [other.id]
    with pytest.raises(Unauthorized, match="has ended"):
        tokens.mint_login(short.principal(), "laptop")


@pytest.mark.rule("26.33")
def test_expired_token_approves_no_login(tokens: Tokens, clock: ManualClock) -> None:
    short = tokens.create("short", OPERATOR, lifetime=DAY, created_by="root@host").record
    clock.advance(2 * 86400)
    with pytest.raises(Unauthorized, match="has ended"):
        tokens.mint_login(short.principal(), "laptop")
