"""The page's sign-in at a provider: a real one on loopback, which can be spoiled in every way."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from httpx import Response

from basecamp.access.principal import Role
from basecamp.access.sessions.cookie_keys import SESSION_COOKIE, SIGN_IN_COOKIE, new_cookie
from basecamp.access.sessions.records import PREFIX, RENEWAL_TIME, ROLES_AGE, ROLES_DUE
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from basecamp.shared.public_address import PublicAddress
from basecamp.web.routes import router
from browser import ORIGIN, Browser
from dataspec.errors import Unauthorized
from dataspec.store import MemoryStore
from oidc_provider import provider_of_another_maker
from page_provider import CLIENT, SECRET, Provider, serving, settings
from unit.basecamp.web.signing_in import SignedWorld

OPERATORS = ("operator", {"groups": "data"})


@pytest.fixture
def provider() -> Iterator[Provider]:
    users: dict[str, dict[str, Any]] = {
        "u-1": {"name": "Dana Müller 김", "groups": ["data", "other"]},
        "u-2": {"name": "Kim", "groups": ["sales"]},
    }
    with serving(Provider(users=users)) as provider:
        yield provider


@pytest.fixture
def world(signed_app: FastAPI, provider: Provider) -> SignedWorld:
    world = SignedWorld(signed_app, tokens=False, oidc=settings(provider, OPERATORS))
    provider.now = world.clock.now
    return world


def signed_in(world: SignedWorld) -> Browser:
    browser = world.browser()
    assert browser.open("/").url == f"{ORIGIN}/"
    assert browser.page.status_code == 200
    return browser


def callback_of(browser: Browser) -> str:
    """Return the address to which the provider sends a browser that has just begun to sign in."""
    to_provider = browser.open("/sign-in?next=%2Fruns", follow=False)
    return browser.open(to_provider.headers["location"], follow=False).headers["location"]


def is_refused(world: SignedWorld, answer: Response, told: str = "") -> bool:
    """Return whether a sign-in was refused by a page that says why, and nobody is signed in."""
    assert answer.status_code in {401, 403}, answer.text
    assert "Sign in again" in answer.text
    assert told in answer.text.replace("&#39;", "'")
    return not list(world.store.list(PREFIX))


@pytest.mark.rule("26.57")
def test_person_is_sent_to_the_provider_and_comes_back_to_the_page_they_wanted(
    world: SignedWorld, provider: Provider
) -> None:
    world.publish()
    browser = world.browser()
    landed = browser.open("/workflows/sales.daily?source=code")
    assert landed.status_code == 200
    assert landed.url == f"{ORIGIN}/workflows/sales.daily?source=code"
    assert "Dana Müller 김" in landed.text
    [(_, asked), (_, redeemed)] = provider.requests
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == redeemed["redirect_uri"] == f"{ORIGIN}/sign-in/callback"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) == len(redeemed["code_verifier"]) == 43
    assert "client_secret" not in redeemed
    session = world.session_of(browser)
    assert session is not None
    assert session.provider is not None
    assert session.provider.identity == f"{provider.issuer} u-1"


@pytest.mark.rule("26.57")
def test_public_client_sends_its_id_and_no_secret(signed_app: FastAPI, provider: Provider) -> None:
    provider.secret = None
    world = SignedWorld(signed_app, tokens=False, oidc=settings(provider, OPERATORS, secret=None))
    provider.now = world.clock.now
    signed_in(world)
    assert provider.requests[-1][1]["client_id"] == CLIENT


@pytest.mark.rule("26.57")
def test_nothing_is_stored_for_a_person_who_is_not_signed_in(world: SignedWorld) -> None:
    before = len(list(world.store.list("")))
    browser = world.browser()
    callback_of(browser)
    assert len(list(world.store.list(""))) == before
    assert len(browser.cookies[SIGN_IN_COOKIE]) == 43


@pytest.mark.rule("26.57")
def test_address_of_the_server_on_this_machine_is_the_request_s(
    signed_app: FastAPI, provider: Provider
) -> None:
    world = SignedWorld(signed_app, tokens=False, oidc=settings(provider, OPERATORS), public=None)
    answer = world.ask("GET", "/sign-in", headers={"Host": "127.0.0.1:8800"})
    [uri] = parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"]
    assert uri == "http://127.0.0.1:8800/sign-in/callback"
    answer = world.ask("GET", "/sign-in", headers={"Host": "data.example.com", "Accept": "text/html"})
    assert answer.status_code == 400
    assert "BASECAMP_PUBLIC_URL" in answer.text


@pytest.mark.rule("26.57")
def test_two_tabs_sign_in_at_a_time_and_both_end_on_a_page(world: SignedWorld) -> None:
    browser = world.browser()
    first, second = callback_of(browser), callback_of(browser)
    assert browser.open(second).url == f"{ORIGIN}/runs"
    assert browser.open(first).url == f"{ORIGIN}/"
    assert len(list(world.store.list(PREFIX))) == 1


@pytest.mark.rule("26.58")
def test_state_of_another_browser_signs_nobody_in(world: SignedWorld, provider: Provider) -> None:
    """Otherwise another site could sign a person in as somebody else."""
    callback = callback_of(world.browser())
    for cookie in ("", new_cookie(), "x"):
        victim = world.browser()
        victim.cookies.set(SIGN_IN_COOKIE, cookie, domain="basecamp.test")
        assert is_refused(world, victim.open(callback), "begun in another browser")
    assert [path for path, _ in provider.requests] == ["/authorize"], "the code was not even sent"


@pytest.mark.rule("26.58")
def test_code_counts_once(world: SignedWorld, provider: Provider) -> None:
    browser = world.browser()
    callback, cookie = callback_of(browser), browser.cookies[SIGN_IN_COOKIE]
    assert browser.open(callback).status_code == 200
    again = world.browser()
    assert again.open(callback).status_code == 401
    again.cookies.set(SIGN_IN_COOKIE, cookie, domain="basecamp.test")
    answer = again.open(callback)
    assert answer.status_code == 401
    assert "The provider does not accept the code" in answer.text
    assert len(list(world.store.list(PREFIX))) == 1


@pytest.mark.rule("26.58")
def test_login_that_is_cut_off_for_more_than_ten_minutes_is_begun_again(world: SignedWorld) -> None:
    browser = world.browser()
    callback = callback_of(browser)
    world.clock.advance(601)
    assert is_refused(world, browser.open(callback), "more than ten minutes ago")
    assert signed_in(world)


@pytest.mark.rule("26.58")
@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"nonce": "x" * 43}, "for another sign-in"),
        ({"nonce": None}, "for another sign-in"),
        ({"nonce": 7}, "for another sign-in"),
        ({"aud": "another-client"}, "audience"),
        ({"aud": [CLIENT, "another-client"]}, "It was issued to another client"),
        ({"aud": [CLIENT, "another-client"], "azp": "another-client"}, "It was issued to another client"),
        ({"azp": "another-client"}, "It was issued to another client"),
        ({"iss": "https://evil.test"}, "issuer"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": None}, "sub"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
    ],
    ids=str,
)
def test_id_token_for_something_else_signs_nobody_in(
    world: SignedWorld, provider: Provider, spoiled: dict[str, Any], told: str
) -> None:
    provider.spoiled = spoiled
    assert is_refused(world, world.browser().open("/"), told)


@pytest.mark.rule("26.58")
@pytest.mark.parametrize("token", ["none", "unsigned", "hs256", "missing", "garbage"])
def test_id_token_that_the_provider_did_not_sign_signs_nobody_in(
    world: SignedWorld, provider: Provider, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    real = provider.id_token

    def forged(subject: str, **claims: Any) -> str | None:
        header, content, signature = real(subject, **claims).split(".")
        none = "eyJhbGciOiJub25lIn0"
        hs256 = "eyJhbGciOiJIUzI1NiJ9"
        return {
            "none": f"{none}.{content}.",
            "unsigned": f"{header}.{content}.",
            "hs256": f"{hs256}.{content}.{signature}",
            "missing": None,
            "garbage": "x",
        }[token]

    monkeypatch.setattr(provider, "id_token", forged)
    assert is_refused(world, world.browser().open("/"))


@pytest.mark.rule("26.58")
@pytest.mark.parametrize(("seconds", "is_accepted"), [(-55, True), (55, True), (-400, False), (100, False)])
def test_clock_of_the_provider_may_be_a_minute_off(
    world: SignedWorld, provider: Provider, seconds: int, is_accepted: bool
) -> None:
    provider.now = lambda: world.clock.now() + timedelta(seconds=seconds)
    assert (world.browser().open("/").status_code == 200) == is_accepted


@pytest.mark.rule("26.58")
def test_key_that_rotated_is_fetched(world: SignedWorld, provider: Provider) -> None:
    signed_in(world)
    provider.rotate_key()
    world.clock.advance(31)
    signed_in(world)


@pytest.mark.rule("26.58")
@pytest.mark.parametrize("sent", [None, "https://evil.test"])
def test_answer_of_another_provider_signs_nobody_in(
    world: SignedWorld, provider: Provider, sent: str | None
) -> None:
    provider.sends_issuer = sent
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    assert is_refused(world, world.browser().open("/"), "not from the provider")


def test_provider_that_names_no_issuer_in_its_answer_is_accepted(
    world: SignedWorld, provider: Provider
) -> None:
    provider.sends_issuer = None
    signed_in(world)


@pytest.mark.rule("26.58")
def test_refusal_of_the_provider_is_told_without_its_own_texts(
    world: SignedWorld, provider: Provider
) -> None:
    for error, told in (("access_denied", "refused it"), ("<b>call us</b>", "The provider refused it.")):
        browser = world.browser()
        state = parse_qs(urlsplit(callback_of(browser)).query)["state"][0]
        answer = browser.open(
            f"/sign-in/callback?state={state}&iss={provider.issuer}&error={error}&error_description=call+555"
        )
        assert is_refused(world, answer, told)
        assert "555" not in answer.text
        assert "call us" not in answer.text


@pytest.mark.rule("26.58")
@pytest.mark.parametrize(
    ("error", "status"),
    [((401, {"error": "invalid_client"}), 401), ((500, {}), 503), ((200, []), 503), ((200, "x"), 503)],
    ids=str,
)
def test_provider_that_fails_is_told_by_a_page(
    world: SignedWorld, provider: Provider, error: tuple[int, Any], status: int
) -> None:
    provider.token_error = error
    answer = world.browser().open("/")
    assert answer.status_code == status
    assert "Sign in again" in answer.text
    assert SECRET not in answer.text


@pytest.mark.rule("26.58")
def test_callback_takes_a_parameter_once_and_others_of_the_provider(world: SignedWorld) -> None:
    browser = world.browser()
    callback = callback_of(browser)
    assert browser.open(f"{callback}&code=x").status_code == 400
    assert browser.open(f"{callback}&session_state=x&authuser=0").url == f"{ORIGIN}/runs"


@pytest.mark.rule("26.58")
def test_person_without_a_role_gets_no_session_and_is_told_their_identity(
    world: SignedWorld, provider: Provider
) -> None:
    provider.subject = "u-2"
    answer = world.browser().open("/")
    assert is_refused(world, answer, "You have no role on this server.")
    assert answer.status_code == 403
    assert provider.issuer in answer.text
    assert "u-2" in answer.text


@pytest.mark.rule("26.59")
def test_no_secret_is_in_a_log_the_store_or_an_address(
    world: SignedWorld, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "basecamp"):
        browser = signed_in(world)
        world.clock.advance(ROLES_AGE.total_seconds())
        browser.open("/")
        provider.token_error = (401, {"error": "invalid_client"})
        world.browser().open("/")
    sent = {name: text for _, fields in provider.requests for name, text in fields.items()}
    secrets = [SECRET, browser.cookies[SESSION_COOKIE], *(sent[name] for name in ("code", "code_verifier"))]
    secrets += [sent["state"], sent["refresh_token"]]
    stored = [world.store.get(info.key) for info in world.store.list("")]
    shown = caplog.text + "".join(f"{one.key} {one.body.decode()}" for one in stored if one)
    for secret in secrets:
        assert secret not in shown


@pytest.mark.rule("26.53")
def test_roles_are_read_again_after_15_minutes(world: SignedWorld, provider: Provider) -> None:
    world.publish()
    browser = signed_in(world)
    provider.users["u-1"]["groups"] = ["none"]
    world.clock.advance(ROLES_DUE.total_seconds() - 1)
    assert browser.open("/").status_code == 200
    world.clock.advance(1)
    answer = browser.open("/")
    assert answer.status_code == 403
    assert "You have no role on this server." in answer.text
    assert not list(world.store.list(PREFIX))


@pytest.mark.rule("26.53")
def test_session_goes_on_by_refresh_tokens_that_count_once_each(
    world: SignedWorld, provider: Provider
) -> None:
    browser = signed_in(world)
    cookie = browser.cookies[SESSION_COOKIE]
    replicas = [world.replica().sessions, world.sign_in.sessions]
    for turn in range(6):
        world.clock.advance(ROLES_AGE.total_seconds() + turn)
        assert replicas[turn % 2].verify(cookie).name == "Dana Müller 김"
        assert replicas[(turn + 1) % 2].verify(cookie).identity == f"{provider.issuer} u-1"
    refreshed = [fields for path, fields in provider.requests if fields.get("grant_type") == "refresh_token"]
    assert len(refreshed) == 6


@pytest.mark.rule("26.53")
def test_user_who_is_disabled_at_the_provider_is_signed_out(world: SignedWorld, provider: Provider) -> None:
    browser = signed_in(world)
    provider.disable("u-1")
    world.clock.advance(ROLES_AGE.total_seconds())
    assert browser.open("/", follow=False).status_code == 303
    assert not list(world.store.list(PREFIX))


@pytest.mark.rule("26.53")
def test_without_a_refresh_token_a_page_signs_in_again_by_redirects_alone(
    world: SignedWorld, provider: Provider
) -> None:
    provider.issues_refresh_tokens = False
    browser = signed_in(world)
    first = browser.cookies[SESSION_COOKIE]
    world.clock.advance(ROLES_AGE.total_seconds() - 1)
    assert browser.open("/runs", follow=False).status_code == 200
    world.clock.advance(1)
    assert browser.open("/runs").url == f"{ORIGIN}/runs"
    assert browser.cookies[SESSION_COOKIE] != first


@pytest.mark.rule("26.53")
def test_silent_provider_leaves_the_roles_until_they_are_15_minutes_old(
    world: SignedWorld, provider: Provider
) -> None:
    browser = signed_in(world)
    provider.token_error = (503, {})
    world.clock.advance(ROLES_DUE.total_seconds())
    assert browser.open("/").status_code == 200
    world.clock.advance(60)
    answer = browser.open("/")
    assert answer.status_code == 503
    assert "sign-in provider does not answer" in answer.text
    provider.token_error = None
    world.clock.advance(RENEWAL_TIME.total_seconds())
    assert browser.open("/").status_code == 200


@pytest.mark.rule("26.53")
def test_refreshed_id_token_of_another_user_ends_the_session(world: SignedWorld, provider: Provider) -> None:
    browser = signed_in(world)
    provider.spoiled = {"sub": "u-9", "groups": ["data"]}
    world.clock.advance(ROLES_AGE.total_seconds())
    provider_calls = len(provider.requests)
    with pytest.raises(Unauthorized):
        world.sign_in.sessions.verify(browser.cookies[SESSION_COOKIE])
    assert len(provider.requests) == provider_calls + 1


@pytest.mark.rule("26.52")
def test_signing_out_goes_on_at_the_provider(world: SignedWorld, provider: Provider) -> None:
    browser = signed_in(world)
    answer = browser.submit("/sign-out")
    assert not list(world.store.list(PREFIX))
    address = answer.text.split("0; url=")[1].split('"')[0].replace("&amp;", "&")
    assert address.startswith(f"{provider.issuer}/end-session?")
    landed = browser.open(address)
    assert landed.url == f"{ORIGIN}/sign-out"
    assert "You are signed out" in landed.text
    assert provider.requests[-1][1]["client_id"] == CLIENT
    assert "id_token_hint" not in json.dumps(provider.requests)


def test_provider_without_an_end_of_sessions_is_left_alone(world: SignedWorld, provider: Provider) -> None:
    provider.metadata = {"end_session_endpoint": None}
    browser = signed_in(world)
    assert "0; url=" not in browser.submit("/sign-out").text


@pytest.mark.rule("26.57")
def test_endpoint_that_is_not_https_gets_no_code_and_no_user(world: SignedWorld, provider: Provider) -> None:
    for endpoint in ("authorization_endpoint", "token_endpoint"):
        provider.metadata = {endpoint: "http://evil.test/x"}
        world.clock.advance(600)
        answer = world.browser().open("/")
        assert answer.status_code == 503, endpoint


def test_sign_in_costs_a_request_little(world: SignedWorld) -> None:
    cookie = signed_in(world).cookies[SESSION_COOKIE]
    world.sign_in.sessions.verify(cookie)
    began = time.process_time()
    for _ in range(500):
        assert world.sign_in.sessions.known(cookie) is not None
    assert (time.process_time() - began) / 500 < 0.001


def test_both_ways_are_offered_where_both_are_on(signed_app: FastAPI, provider: Provider) -> None:
    world = SignedWorld(signed_app, tokens=True, oidc=settings(provider, OPERATORS))
    provider.now = world.clock.now
    browser = world.browser(world.token(Role.VIEWER))
    assert browser.submit("/sign-out").status_code == 200
    text = browser.open("/sign-in?next=%2Fruns").text
    assert "Or with an API token" in text
    assert browser.open("/sign-in/provider?next=%2Fruns").url == f"{ORIGIN}/runs"


@pytest.mark.rule("26.53")
def test_requests_at_the_same_moment_use_a_refresh_token_once(world: SignedWorld, provider: Provider) -> None:
    cookie = signed_in(world).cookies[SESSION_COOKIE]
    replicas = [world.replica().sessions, world.sign_in.sessions]
    for replica in replicas:
        replica.verify(cookie)
    world.clock.advance(ROLES_AGE.total_seconds())
    world.clock.on_wait.append(lambda: time.sleep(0.25))  # as the clock of a server waits
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda number: replicas[number % 2].verify(cookie).name, range(8)))
    assert names == ["Dana Müller 김"] * 8
    assert [fields.get("grant_type") for _, fields in provider.requests].count("refresh_token") == 1


@pytest.mark.rule("26.50", "26.57")
def test_below_a_prefix_every_address_is_below_it_and_the_cookie_is_for_the_host(provider: Provider) -> None:
    public = PublicAddress.parse(f"{ORIGIN}/basecamp")
    services = build_services(MemoryStore(), MemoryAirflow(), SystemClock())
    world = SignedWorld(
        create_app(services, pages=router, public=public),
        tokens=False,
        oidc=settings(provider, OPERATORS),
        public=public.url,
    )
    provider.now = world.clock.now
    browser = world.browser()
    assert browser.open("/basecamp/runs").url == f"{ORIGIN}/basecamp/runs"
    assert provider.requests[0][1]["redirect_uri"] == f"{ORIGIN}/basecamp/sign-in/callback"
    assert [cookie.path for cookie in browser.cookies.jar] == ["/"]
    assert "/basecamp/sign-out" in browser.page.text
    answer = browser.open("/basecamp/sign-in?next=/other", follow=False)
    assert answer.headers["location"].startswith(f"{provider.issuer}/authorize?")


@pytest.mark.rule("26.50")
def test_script_of_the_page_is_told_that_the_session_has_ended(world: SignedWorld) -> None:
    answer = world.browser().open("/", follow=False, **{"HX-Request": "true"})
    assert answer.status_code == 401


@pytest.mark.rule("26.57")
def test_person_signs_in_at_another_maker_s_provider(signed_app: FastAPI) -> None:
    with provider_of_another_maker(dana={"groups": ["data"]}) as issuer:
        world = SignedWorld(signed_app, tokens=False, oidc=settings(Provider(issuer=issuer), OPERATORS))
        world.clock.advance((datetime.now(UTC) - world.clock.now()).total_seconds())
        browser = world.browser()
        form = browser.open("/runs")
        assert form.status_code == 200
        assert form.url.host == "localhost"
        assert browser.post(str(form.url), {"sub": "dana"}).url == f"{ORIGIN}/runs"
