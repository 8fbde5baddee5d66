"""The page that lets a command line sign in, and the page of the audit log."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from basecamp.access.logins import ApprovedLogin, StartedLogin
from basecamp.access.principal import Grant, Role
from basecamp.access.sessions.records import IDLE_TIME
from unit.basecamp.web.signing_in import SignedWorld

TEAM = "@data-engineering"


@pytest.fixture
def world(signed_app: FastAPI) -> SignedWorld:
    return SignedWorld(signed_app)


@pytest.fixture
def started(world: SignedWorld) -> StartedLogin:
    return world.services.logins.start("dana's laptop <b>", "192.0.2.7")


@pytest.mark.rule("26.60")
def test_person_approves_the_machine_that_the_page_names(world: SignedWorld, started: StartedLogin) -> None:
    browser = world.browser(world.token(Role.OPERATOR, TEAM))
    text = browser.open(f"/device?code={started.user_code}").text
    assert "dana&#39;s laptop &lt;b&gt;" in text
    assert "192.0.2.7" in text
    assert started.user_code in text
    assert world.services.logins.redeem(started.device_code, "192.0.2.7") == "pending"
    assert "The machine is signed in" in browser.submit("/device", {"do": "approve"}).text
    approved = world.services.logins.redeem(started.device_code, "192.0.2.7")
    assert isinstance(approved, ApprovedLogin)
    assert approved.principal.name == "dana"
    assert approved.principal.grants == (Grant(Role.OPERATOR, frozenset({TEAM})),)


@pytest.mark.rule("26.60")
def test_machine_that_is_denied_gets_nothing(world: SignedWorld, started: StartedLogin) -> None:
    browser = world.browser(world.token(Role.OPERATOR))
    browser.open(f"/device?code={started.user_code.lower().replace('-', '')}")
    assert "The sign-in was denied" in browser.submit("/device", {"do": "deny"}).text
    assert world.services.logins.redeem(started.device_code, "192.0.2.7") == "denied"


@pytest.mark.rule("26.50", "26.60")
def test_person_who_is_not_signed_in_comes_back_to_the_code(
    world: SignedWorld, started: StartedLogin
) -> None:
    browser = world.browser()
    browser.open(f"/device?code={started.user_code}")
    landed = browser.submit("/sign-in/token", {"token": world.token(Role.VIEWER)})
    assert "Sign in on this machine?" in landed.text


@pytest.mark.rule("26.54", "26.60")
def test_nothing_is_approved_without_the_token_of_the_session_or_after_its_end(
    world: SignedWorld, started: StartedLogin
) -> None:
    browser = world.browser(world.token(Role.ADMIN))
    browser.open(f"/device?code={started.user_code}")
    answer = browser.post("/device", {"code": started.user_code, "do": "approve"})
    assert answer.status_code == 403
    answer = browser.post("/device", {"code": started.user_code, "do": "approve", "csrf": "x"})
    assert answer.status_code == 403
    browser.open(f"/device?code={started.user_code}")
    world.clock.advance(IDLE_TIME.total_seconds())
    assert browser.submit("/device", {"do": "approve"}).status_code == 401
    assert world.services.logins.redeem(started.device_code, "192.0.2.7") in {"pending", "expired"}


@pytest.mark.rule("26.61")
def test_codes_are_not_guessed(world: SignedWorld, started: StartedLogin) -> None:
    browser = world.browser(world.token(Role.ADMIN))
    statuses = [browser.open(f"/device?code=BBBB-BBB{letter}").status_code for letter in "BCDFGHJKLMN"]
    assert statuses == [200] * 10 + [429]
    assert browser.open(f"/device?code={started.user_code}").status_code == 429


def test_unknown_button_and_code_of_another_form_change_nothing(
    world: SignedWorld, started: StartedLogin
) -> None:
    browser = world.browser(world.token(Role.ADMIN))
    browser.open(f"/device?code={started.user_code}")
    assert browser.submit("/device", {"do": "aprove"}).status_code == 400
    browser.open("/device")
    assert "The code that" in browser.page.text
    assert world.services.logins.redeem(started.device_code, "192.0.2.7") == "pending"


@pytest.mark.rule("26.74")
def test_audit_page_shows_who_changed_what_to_admins_alone(world: SignedWorld) -> None:
    world.publish()
    operator = world.browser(world.token(Role.OPERATOR))
    operator.open("/workflows/sales.daily")
    operator.submit("/pause")
    assert operator.open("/audit").status_code == 403
    assert 'href="/audit"' not in operator.open("/").text
    admin = world.browser(world.token(Role.ADMIN, name="kim"))
    text = admin.open("/audit?dataset=sales.daily&user=dana&since=2024-01-15").text
    assert 'href="/audit"' in text
    assert "pause" in text
    assert "done" in text
    assert "No matches in the days searched so far" in admin.open("/audit?user=nobody").text
    assert "No entry matches" in admin.open("/audit?since=2031-01-01").text
    assert admin.open("/audit?since=tomorrow").status_code == 400


@pytest.mark.rule("26.74")
def test_audit_page_of_a_team_s_admin_has_its_datasets_alone(world: SignedWorld) -> None:
    world.publish()
    operator = world.browser(world.token(Role.OPERATOR))
    operator.open("/workflows/sales.daily")
    operator.submit("/pause")
    for team, is_shown in ((TEAM, True), ("@other", False)):
        admin = world.browser(world.token(Role.ADMIN, team, name=f"admin-{team[1:]}"))
        text = admin.open("/audit").text.replace("<wbr>", "")
        assert ("sales.daily" in text) == is_shown
