"""Device grants: started by a command line, approved by a person, redeemed once, bounded against strangers."""

from __future__ import annotations

import pytest

from basecamp.access.logins import (
    LIFETIME,
    MAX_PENDING,
    MAX_PER_ADDRESS,
    MAX_WRONG_CODES,
    MAX_WRONG_DEVICES,
    PREFIX,
    ApprovedLogin,
    Logins,
    StartedLogin,
)
from basecamp.access.principal import Grant, Principal, Role
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import TooManyRequests
from dataspec.store import MemoryStore

ADA = Principal(
    "ada", (Grant(Role.EDITOR, frozenset({"@data"})), Grant(Role.VIEWER)), "session", "issuer ada"
)
HERE = "10.0.0.7"


@pytest.fixture
def logins(store: MemoryStore, clock: ManualClock) -> Logins:
    return replica(store, clock)


def replica(store: MemoryStore, clock: ManualClock) -> Logins:
    return Logins(store, clock, ObjectReader(store, clock))


def started(logins: Logins) -> StartedLogin:
    return logins.start("laptop", HERE)


@pytest.mark.rule("26.60")
def test_a_grant_is_approved_at_one_replica_and_redeemed_once_at_another(
    logins: Logins, store: MemoryStore, clock: ManualClock
) -> None:
    login, other = started(logins), replica(store, clock)
    assert other.redeem(login.device_code, HERE) == "pending"
    shown = other.find(login.user_code.lower().replace("-", " "), ADA)
    assert shown is not None
    assert (shown.machine, shown.address, shown.created_at) == ("laptop", HERE, clock.now())
    assert other.approve(login.user_code, ADA)
    approved = logins.redeem(login.device_code, HERE)
    assert isinstance(approved, ApprovedLogin)
    assert (approved.principal, approved.machine) == (ADA, "laptop")
    assert [one.redeem(login.device_code, HERE) for one in (logins, other)] == ["expired", "expired"]


@pytest.mark.rule("26.60")
def test_the_user_code_is_eight_letters_without_vowels_in_two_groups(logins: Logins) -> None:
    first, _, second = started(logins).user_code.partition("-")
    assert (len(first), len(second)) == (4, 4)
    assert set(first + second) <= set("BCDFGHJKLMNPQRSTVWXZ")


@pytest.mark.rule("26.60")
def test_neither_the_store_nor_a_representation_has_the_secret_of_a_grant(
    logins: Logins, store: MemoryStore
) -> None:
    login = started(logins)
    logins.approve(login.user_code, ADA)
    secret = login.device_code.partition(".")[2]
    kept = [stored for info in store.list(PREFIX) if (stored := store.get(info.key)) is not None]
    assert len(kept) == 1
    assert secret not in kept[0].body.decode()
    assert login.user_code.replace("-", "") not in kept[0].key + kept[0].body.decode()
    assert secret not in repr(login)


@pytest.mark.rule("26.60")
def test_a_denied_grant_gives_nothing_also_when_it_is_approved_afterwards(logins: Logins) -> None:
    login = started(logins)
    assert logins.deny(login.user_code, ADA)
    assert not logins.approve(login.user_code, ADA)
    assert logins.redeem(login.device_code, HERE) == "denied"


@pytest.mark.rule("26.60")
def test_a_grant_ends_after_ten_minutes_also_when_it_was_approved(logins: Logins, clock: ManualClock) -> None:
    login = started(logins)
    logins.approve(login.user_code, ADA)
    clock.advance(LIFETIME.total_seconds() + 1)
    assert logins.redeem(login.device_code, HERE) == "expired"
    assert logins.find(login.user_code, ADA) is None


@pytest.mark.parametrize("code", ["", ".", "BCDFGHJK", "BCDFGHJK.", "ключ.ключ", "../tokens.x", "a\x00b.c"])
def test_a_device_code_that_is_none_is_an_unknown_one(logins: Logins, code: str) -> None:
    started(logins)
    assert logins.redeem(code, HERE) == "expired"


def test_the_user_code_with_another_secret_gives_nothing(logins: Logins) -> None:
    login = started(logins)
    logins.approve(login.user_code, ADA)
    assert logins.redeem(login.user_code.replace("-", "") + ".guessed", HERE) == "expired"
    assert isinstance(logins.redeem(login.device_code, HERE), ApprovedLogin)


@pytest.mark.rule("26.61")
def test_an_address_starts_a_few_grants_until_their_time_is_over(logins: Logins, clock: ManualClock) -> None:
    for _ in range(MAX_PER_ADDRESS):
        started(logins)
    with pytest.raises(TooManyRequests):
        started(logins)
    logins.start("desktop", "10.0.0.8")
    clock.advance(LIFETIME.total_seconds() + 1)
    started(logins)


@pytest.mark.rule("26.61")
def test_all_addresses_together_have_a_bounded_number_of_grants_which_end(
    logins: Logins, store: MemoryStore, clock: ManualClock
) -> None:
    for number in range(MAX_PENDING):
        logins.start("laptop", f"10.0.{number}.1")
    with pytest.raises(TooManyRequests, match="under way"):
        logins.start("laptop", "10.1.0.1")
    clock.advance(LIFETIME.total_seconds() + 1)
    logins.start("laptop", "10.1.0.2")
    assert len(list(store.list(PREFIX))) == 1, "the ended ones are removed"


@pytest.mark.rule("26.61")
def test_a_person_enters_a_few_wrong_codes_and_others_are_not_held_up(logins: Logins) -> None:
    login = started(logins)
    for _ in range(MAX_WRONG_CODES):
        assert logins.find("BBBB-BBBB", ADA) is None
    for guess in (logins.find, logins.approve, logins.deny):
        with pytest.raises(TooManyRequests):
            guess(login.user_code, ADA)
    grace = Principal("grace", (Grant(Role.VIEWER),), "session", "issuer grace")
    assert logins.find(login.user_code, grace) is not None


@pytest.mark.rule("26.61")
def test_an_address_sends_a_bounded_number_of_unknown_device_codes(logins: Logins) -> None:
    login = started(logins)
    for _ in range(MAX_WRONG_DEVICES):
        assert logins.redeem("BBBBBBBB.guessed", "10.9.9.9") == "expired"
    with pytest.raises(TooManyRequests):
        logins.redeem("BBBBBBBB.guessed", "10.9.9.9")
    assert logins.redeem(login.device_code, HERE) == "pending"


def test_a_damaged_record_is_an_unknown_grant(logins: Logins, store: MemoryStore) -> None:
    login = started(logins)
    (info,) = store.list(PREFIX)
    store.put(info.key, b"{", expected=info.etag)
    assert logins.redeem(login.device_code, HERE) == "expired"
