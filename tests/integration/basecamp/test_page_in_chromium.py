"""The page's sign-in in Chromium: what cookies, redirects, the Back button and missing scripts do in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from basecamp.access.principal import Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from basecamp.web.routes import router
from dataspec.store import MemoryStore
from page_provider import SECRET, Provider, file, serving, settings
from served_app import served
from served_process import served_process
from unit.basecamp.web.signing_in import SignedWorld

CHROMIUM = shutil.which("chromium")
MILLISECONDS = 120_000
"""For what the page shows in the end."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    users: dict[str, dict[str, Any]] = {"u-1": {"name": "김다나", "groups": ["data"]}}
    with serving(Provider(users=users)) as provider:
        yield provider


@pytest.fixture
def world(provider: Provider) -> SignedWorld:
    app = create_app(build_services(MemoryStore(), MemoryAirflow(), SystemClock()), pages=router)
    world = SignedWorld(app, oidc=settings(provider, ("operator", {"groups": "data"})), public=None)
    provider.now = world.clock.now
    world.publish()
    return world


@pytest.fixture
def address(world: SignedWorld) -> Iterator[str]:
    with served(world.app) as address:
        yield address


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.set_default_timeout(MILLISECONDS)
    yield context
    context.close()


def sign_in(page: Page, address: str) -> None:
    page.goto(f"{address}/workflows/sales.daily")
    page.get_by_role("link", name="Sign in with").click()
    page.wait_for_url(f"{address}/workflows/sales.daily")


@pytest.mark.rule("26.51", "26.52", "26.57")
def test_person_signs_in_pauses_signs_out_and_the_back_button_shows_nothing(
    world: SignedWorld, provider: Provider, address: str, context: BrowserContext
) -> None:
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    sign_in(page, address)
    expect(page.get_by_text("김다나")).to_be_visible()
    [cookie] = context.cookies()
    assert cookie["name"] == "__Host-basecamp"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Unpause")).to_be_visible()
    assert world.services.workflows.get("sales.daily").value.paused
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert provider.requests[-1][0] == "/end-session"
    assert not problems, "nothing that the page needs is forbidden by its policy"
    assert context.cookies() == []
    page.go_back()
    page.wait_for_url(f"{address}/sign-in?*")
    expect(page.get_by_text("sales.daily", exact=True)).to_have_count(0)


@pytest.mark.rule("24.5", "26.54")
def test_without_scripts_the_same_is_done(world: SignedWorld, address: str, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, address)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Unpause")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    page.goto(f"{address}/workflows/sales.daily")
    page.get_by_label("Or with an API token").fill(world.token(Role.VIEWER))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/workflows/sales.daily")
    expect(page.get_by_role("button")).to_have_text(["Sign out"])
    context.close()


@pytest.mark.rule("26.60")
def test_machine_is_approved_after_the_sign_in(
    world: SignedWorld, address: str, context: BrowserContext
) -> None:
    started = world.services.logins.start("laptop", "192.0.2.7")
    page = context.new_page()
    page.goto(f"{address}/device?code={started.user_code}")
    page.get_by_role("link", name="Sign in with").click()
    expect(page.get_by_text("192.0.2.7")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="The machine is signed in")).to_be_visible()


@pytest.mark.rule("26.55")
def test_tab_whose_session_ended_elsewhere_says_so(
    world: SignedWorld, address: str, context: BrowserContext
) -> None:
    page, other = context.new_page(), context.new_page()
    sign_in(page, address)
    page.get_by_label("limit").fill("77")
    other.goto(f"{address}/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{address}/sign-out")
    page.bring_to_front()
    expect(page.get_by_role("alert")).to_contain_text("You are signed out.", timeout=MILLISECONDS)
    assert page.get_by_label("limit").input_value() == "77"


@pytest.mark.rule("26.57", "26.59")
def test_server_of_an_operator_signs_people_in_and_logs_no_secret(
    provider: Provider, context: BrowserContext, tmp_path: Path
) -> None:
    rules, log = tmp_path / "oidc.yaml", tmp_path / "log"
    rules.write_text(file(provider, ("admin", {"groups": "data"})))
    environment = {
        "PATH": os.environ["PATH"],
        "BASECAMP_STORE_URL": str(tmp_path / "store"),
        "BASECAMP_AIRFLOW_URL": "http://127.0.0.1:1",
        "BASECAMP_AIRFLOW_AUTH": "none",
        "BASECAMP_AUTH": "oidc",
        "BASECAMP_OIDC": str(rules),
        "BASECAMP_OIDC_CLIENT_SECRET": SECRET,
        "BASECAMP_LOG_LEVEL": "debug",
    }
    page = context.new_page()
    with served_process(environment, log) as address:
        page.goto(f"{address}/audit")
        assert page.url == f"{address}/audit"
        expect(page.get_by_text("김다나")).to_be_visible()
        [cookie] = context.cookies()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    sent = {name: text for _, fields in provider.requests for name, text in fields.items()}
    told = log.read_text()
    assert "Signed in: 김다나" in told
    for secret in (SECRET, cookie["value"], sent["code"], sent["code_verifier"], sent["state"]):
        assert secret not in told
