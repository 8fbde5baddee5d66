"""The page's sessions of people who sign in with an API token."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from basecamp.access.principal import Role
from basecamp.access.sessions.cookie_keys import SESSION_COOKIE, SIGN_IN_COOKIE, new_cookie
from basecamp.access.sessions.records import IDLE_TIME, LIFETIME, PREFIX
from basecamp.access.stored_credentials import OUTAGE_SECONDS
from basecamp.access.tokens import Tokens
from basecamp.runs.history import HistoryFilter
from browser import ORIGIN, Browser
from dataspec.errors import Unauthorized
from dataspec.store.base import StoreDown
from unit.basecamp.web.signing_in import SignedWorld


@pytest.fixture
def world(signed_app: FastAPI) -> SignedWorld:
    return SignedWorld(signed_app)


@pytest.mark.rule("26.50")
def test_page_sends_an_unknown_person_to_the_sign_in_and_back(world: SignedWorld) -> None:
    world.publish()
    browser = world.browser()
    answer = browser.open("/workflows/sales.daily?source=code", follow=False)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/sign-in?next=%2Fworkflows%2Fsales.daily%3Fsource%3Dcode",
    )
    browser.open(answer.headers["location"])
    landed = browser.submit("/sign-in/token", {"token": world.token(Role.VIEWER)})
    assert (landed.status_code, landed.url.path, landed.url.query) == (
        200,
        "/workflows/sales.daily",
        b"source=code",
    )


@pytest.mark.rule("26.51")
def test_cookie_is_bound_to_the_host_and_no_script_reads_it(world: SignedWorld) -> None:
    browser = world.browser()
    browser.open("/sign-in")
    answer = browser.submit("/sign-in/token", {"token": world.token(Role.VIEWER)}, follow=False)
    [set_cookie] = [
        line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{SESSION_COOKIE}=")
    ]
    attributes = {part.strip().lower() for part in set_cookie.split(";")[1:]}
    assert {"httponly", "secure", "path=/", "samesite=lax"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)


@pytest.mark.rule("26.51")
def test_store_reveals_no_cookie_and_no_token(world: SignedWorld) -> None:
    token = world.token(Role.ADMIN)
    browser = world.browser(token)
    cookie = browser.cookies[SESSION_COOKIE]
    bodies = [world.store.get(info.key) for info in world.store.list("")]
    assert any(stored and stored.key.startswith(PREFIX) for stored in bodies)
    for stored in bodies:
        assert stored is not None
        assert cookie not in stored.body.decode() + stored.key
        assert token not in stored.body.decode() + stored.key


@pytest.mark.rule("26.51")
def test_sign_in_begins_a_new_session_and_ends_the_earlier_one(world: SignedWorld) -> None:
    browser = world.browser(world.token(Role.VIEWER))
    first = browser.cookies[SESSION_COOKIE]
    browser.open("/sign-in")
    browser.submit("/sign-in/token", {"token": world.token(Role.VIEWER, name="kim")})
    assert browser.cookies[SESSION_COOKIE] != first
    other = Browser(world.app)
    other.cookies.set(SESSION_COOKIE, first, domain="basecamp.test")
    assert other.open("/", follow=False).status_code == 303


@pytest.mark.rule("26.52")
def test_signing_out_ends_the_session_on_every_replica(world: SignedWorld) -> None:
    browser = world.browser(world.token(Role.VIEWER))
    cookie = browser.cookies[SESSION_COOKIE]
    other = world.replica().sessions
    assert other.verify(cookie).name == "dana"
    answer = browser.submit("/sign-out")
    assert "You are signed out" in answer.text
    assert browser.cookies.get(SESSION_COOKIE) is None
    with pytest.raises(Unauthorized):
        world.sign_in.sessions.verify(cookie)
    assert world.sign_in.sessions.known(cookie) is None
    world.clock.advance(30)
    assert other.known(cookie) is None
    with pytest.raises(Unauthorized):
        other.verify(cookie)
    assert not list(world.store.list(PREFIX))


@pytest.mark.rule("26.52")
@pytest.mark.parametrize("step", [IDLE_TIME, LIFETIME], ids=["idle", "absolute"])
def test_session_ends_without_use_and_after_its_lifetime(world: SignedWorld, step: object) -> None:
    browser = world.browser(world.token(Role.VIEWER))
    used = IDLE_TIME if step == IDLE_TIME else IDLE_TIME / 2
    passed = used * 0
    while passed < (IDLE_TIME if step == IDLE_TIME else LIFETIME):
        assert browser.open("/", follow=False).status_code == 200 if passed else True
        world.clock.advance(used.total_seconds())
        passed += used
    assert browser.open("/", follow=False).status_code == 303
    assert world.session_of(browser) is None


@pytest.mark.rule("26.52")
def test_use_keeps_a_session_alive(world: SignedWorld) -> None:
    browser = world.browser(world.token(Role.VIEWER))
    for _ in range(4):
        world.clock.advance(IDLE_TIME.total_seconds() * 0.9)
        assert browser.open("/", follow=False).status_code == 200


@pytest.mark.rule("26.53")
def test_revoked_token_ends_its_sessions_within_30_seconds(world: SignedWorld) -> None:
    browser = world.browser(world.token(Role.VIEWER))
    assert browser.open("/", follow=False).status_code == 200
    Tokens(world.store, world.clock).revoke("dana")
    world.clock.advance(30)
    assert browser.open("/", follow=False).status_code == 303
    assert world.session_of(browser) is None


@pytest.mark.parametrize(
    "token",
    ["", "dli_wrong", "dli_" + "x" * 43, "x" * 5000, "dli_é", "\x00"],
    ids=["empty", "short", "unknown", "long", "not ASCII", "a control character"],
)
def test_wrong_token_signs_nobody_in(world: SignedWorld, token: str) -> None:
    browser = world.browser()
    browser.open("/sign-in")
    answer = browser.submit("/sign-in/token", {"token": token})
    assert answer.status_code == 401
    assert "Sign in" in answer.text
    assert not list(world.store.list(PREFIX))
    assert token not in answer.text or len(token) < 2


@pytest.mark.parametrize(
    "cookie",
    ["", "x", "x" * 43, new_cookie(), "x" * 7000, 'a"b', "é", "../../x", "a=b=c"],
    ids=["empty", "short", "43 letters", "unknown", "long", "quoted", "not ASCII", "a path", "pairs"],
)
def test_cookie_of_another_server_is_as_none(world: SignedWorld, cookie: str) -> None:
    answer = world.ask(
        "GET", "/", headers={"Accept": "text/html", "Cookie": f"{SESSION_COOKIE}={cookie}".encode()}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F")


@pytest.mark.rule("26.54")
@pytest.mark.parametrize("token", [None, "", "wrong", "other"])
def test_form_without_the_session_s_token_changes_nothing_and_says_so(
    world: SignedWorld, token: str | None
) -> None:
    world.publish()
    browser = world.browser(world.token(Role.OPERATOR))
    browser.open("/workflows/sales.daily")
    if token == "other":
        other = world.browser(world.token(Role.ADMIN, name="kim"))
        other.open("/workflows/sales.daily")
        token = other.page.text.split('name="csrf" value="')[1].split('"')[0]
    fields = {"key": "k", "p.limit": "77"} | ({} if token is None else {"csrf": token})
    answer = browser.post("/workflows/sales.daily/runs", fields)
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert "77" in answer.text
    answer = browser.post(
        "/workflows/sales.daily/pause", {"key": "k"} | ({} if token is None else {"csrf": token})
    )
    assert answer.status_code == 403
    assert not world.services.workflows.get("sales.daily").value.paused


@pytest.mark.rule("26.54")
def test_form_of_the_page_is_carried_out(world: SignedWorld) -> None:
    world.publish()
    browser = world.browser(world.token(Role.OPERATOR))
    browser.open("/workflows/sales.daily")
    assert browser.submit("/pause").status_code == 200
    assert world.services.workflows.get("sales.daily").value.paused


@pytest.mark.rule("26.54")
def test_api_takes_no_cookie(world: SignedWorld) -> None:
    browser = world.browser(world.token(Role.ADMIN))
    assert browser.open("/api/v1/workflows").status_code == 401
    answer = browser.post("/api/v1/workflows/sales.daily/pause", {})
    assert answer.status_code == 401


@pytest.mark.rule("26.54")
def test_token_form_of_another_browser_signs_nobody_in(world: SignedWorld) -> None:
    """Otherwise another site could sign a person in as somebody else."""
    stranger, person = world.browser(), world.browser()
    stranger.open("/sign-in")
    stolen = stranger.page.text.split('name="csrf" value="')[1].split('"')[0]
    token = world.token(Role.ADMIN)
    for opened in (False, True):
        if opened:
            person.open("/sign-in")
        answer = person.post("/sign-in/token", {"csrf": stolen, "token": token, "next": "/"})
        assert answer.status_code == 403
        assert token not in answer.text
    assert not list(world.store.list(PREFIX))


@pytest.mark.rule("26.55")
def test_form_of_a_session_that_has_ended_changes_nothing_and_shows_what_was_entered(
    world: SignedWorld,
) -> None:
    world.publish()
    browser = world.browser(world.token(Role.OPERATOR))
    browser.open("/workflows/sales.daily")
    world.clock.advance(IDLE_TIME.total_seconds())
    answer = browser.submit("/runs", {"p.limit": "4711", "p.execution_date": "2024-01-14"})
    assert answer.status_code == 401
    assert "Nothing was changed: you are signed out" in answer.text
    assert "4711" in answer.text
    assert "/sign-in?next=%2Fworkflows%2Fsales.daily%2Fruns" in answer.text
    assert not world.services.run_history.page(HistoryFilter()).items


@pytest.mark.rule("26.50")
@pytest.mark.parametrize(
    "target",
    [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "javascript:alert(1)",
        "/a\r\nb",
        "/../x",
        "/%2e%2e/x",
        "evil.test",
        "/sign-in",
        "/sign-out",
        "x" * 5000,
        "",
        "http:evil.test",
        "///evil.test",
    ],
)
def test_sign_in_ends_at_no_other_host(world: SignedWorld, target: str) -> None:
    browser = world.browser()
    browser.open("/sign-in")
    answer = browser.submit(
        "/sign-in/token", {"token": world.token(Role.VIEWER), "next": target}, follow=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.rule("26.56")
def test_viewer_sees_no_buttons_and_is_told_what_they_need(world: SignedWorld) -> None:
    world.publish()
    run_id = world.start()
    browser = world.browser(world.token(Role.VIEWER))
    for address in ("/workflows/sales.daily", f"/runs/{run_id}"):
        text = browser.open(address).text
        assert text.count('method="post"') == 1, "sign-out alone"
        assert "you need the role operator for this dataset" in text
    answer = browser.post("/workflows/sales.daily/pause", {"key": ""})
    assert answer.status_code == 403
    assert "This needs the role operator" in answer.text
    assert "An admin of this server can give you the role." in answer.text


@pytest.mark.rule("26.56")
def test_header_says_who_is_signed_in_and_signs_out(world: SignedWorld) -> None:
    text = world.browser(world.token(Role.OPERATOR, "@data-engineering")).page.text
    assert "dana" in text
    assert "operator of @data-engineering" in text.replace("<wbr>", "")
    assert 'action="/sign-out"' in text


@pytest.mark.rule("26.52")
def test_silent_store_keeps_known_sessions_for_an_hour_and_answers_503_to_others(
    world: SignedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = world.browser(world.token(Role.VIEWER)), world.browser()
    other.cookies.set(SESSION_COOKIE, new_cookie(), domain="basecamp.test")

    def is_down(*_arguments: object, **_options: object) -> None:
        raise StoreDown("The store does not answer.")

    for method in ("get", "list", "put"):
        monkeypatch.setattr(world.store, method, is_down)
    cookie = known.cookies[SESSION_COOKIE]
    world.clock.advance(OUTAGE_SECONDS - 10)
    assert world.sign_in.sessions.verify(cookie).name == "dana"
    assert other.open("/", follow=False).status_code == 503
    world.clock.advance(60)
    assert known.open("/", follow=False).status_code == 503


def test_browser_that_is_signed_in_already_gets_no_second_cookie_of_sign_in(world: SignedWorld) -> None:
    browser = world.browser()
    browser.open("/sign-in")
    first = browser.cookies[SIGN_IN_COOKIE]
    browser.open("/sign-in")
    assert browser.cookies[SIGN_IN_COOKIE] == first
    browser.submit("/sign-in/token", {"token": world.token(Role.VIEWER)})
    assert browser.cookies.get(SIGN_IN_COOKIE) is None
    assert ORIGIN.startswith("https")


@pytest.mark.rule("26.52")
def test_housekeeping_removes_sessions_that_nobody_signed_out(world: SignedWorld) -> None:
    left, used = world.browser(world.token(Role.VIEWER)), world.browser(world.token(Role.VIEWER, name="kim"))
    for _ in range(5):
        world.clock.advance(5 * 3600)
        used.open("/")
    world.services.housekeeping.clean()
    assert world.session_of(left) is None
    assert world.session_of(used) is not None
