from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import pytest

from basecamp.runs.history import HistoryFilter
from basecamp.web.rendering import MEDIA_TYPES, static_file
from unit.basecamp.web.conftest import ORIGIN, World

ORDERS = ("/workflows/sales.daily/runs", "/workflows/sales.daily/pause", "/workflows/sales.daily/unpause")
HOSTILE = "<script>alert(1)</script>"


@pytest.mark.rule("24.8")
@pytest.mark.parametrize("order", [*ORDERS, "/runs/{run_id}/stop"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": f"{ORIGIN}.evil.test"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
    ids=str,
)
def test_an_order_from_another_page_is_refused(world: World, order: str, headers: Mapping[str, str]) -> None:
    world.publish()
    run_id = world.start()
    answer = world.post(order.format(run_id=run_id), {"p.execution_date": "2024-01-14"}, headers=headers)
    assert answer.status_code == 403
    assert not world.services.workflows.get("sales.daily").value.paused
    assert world.services.run_lookup.get(run_id).value.status == "PENDING"
    assert [run.run_id for run in world.services.run_history.page(HistoryFilter()).items] == [run_id]


@pytest.mark.rule("24.8")
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
def test_an_order_from_a_page_of_this_server_is_carried_out(world: World, headers: Mapping[str, str]) -> None:
    world.publish()
    assert world.post("/workflows/sales.daily/pause", headers=headers).status_code == 303
    assert world.services.workflows.get("sales.daily").value.paused


@pytest.mark.rule("24.8")
def test_a_body_that_is_no_form_is_refused(world: World) -> None:
    world.publish()
    answer = world.ask("POST", ORDERS[1], json={}, headers={"Origin": ORIGIN})
    assert answer.status_code == 400


@pytest.mark.rule("19.18")
@pytest.mark.parametrize(
    ("order", "form", "told"),
    [
        ("/workflows/sales.daily/runs", "do=previeww", "The form has no button 'previeww'."),
        ("/workflows/sales.daily/runs", "dry_run=true", "The field 'dry_run' does not belong to this form."),
        ("/workflows/sales.daily/runs", "do=preview&do=run", "The field 'do' occurs 2 times."),
        ("/workflows/sales.daily/pause", "source=manual", "The field 'source' does not belong to this form."),
        ("/runs/{run_id}/stop", "dry_run=1", "The field 'dry_run' does not belong to this form."),
    ],
)
def test_a_form_with_other_fields_changes_nothing(world: World, order: str, form: str, told: str) -> None:
    world.publish()
    run_id = world.start()
    kind = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    body = f"p.execution_date=2024-01-15&{form}" if order.endswith("/runs") else form
    answer = world.ask("POST", order.format(run_id=run_id), content=body, headers=kind)
    assert (answer.status_code, told.replace("'", "&#39;") in answer.text) == (400, True)
    assert not world.services.workflows.get("sales.daily").value.paused
    assert world.services.run_lookup.get(run_id).value.status == "PENDING"
    assert [run.run_id for run in world.services.run_history.page(HistoryFilter()).items] == [run_id]


@pytest.mark.rule("24.7")
def test_what_a_spec_says_is_never_taken_for_markup(world: World) -> None:
    world.register(
        "sales.hostile",
        {
            "description: Clicks of one day.": f'description: "{HOSTILE}"',
            "query_file: query.sql": f"query_statement: \"select '{HOSTILE}'\"",
            "tags: [clicks]": f"tags: ['{HOSTILE}']",
            "description: No more rows than this.": f'description: "\\"><img src=x onerror=alert(1)>{HOSTILE}"',
        },
    )
    for address in ("/", "/workflows/sales.hostile"):
        page = world.get(address)
        assert page.status == 200
        assert HOSTILE in page.text
        assert len(page.all("script")) == 2
        assert all("src" in script.attributes for script in page.all("script"))
        assert not [part for part in page.parts if "onerror" in part.attributes]


def test_what_is_wrong_with_an_invalid_spec_is_shown_as_text(world: World) -> None:
    world.put("code/x.yaml", f'name: sales.x\ntype: Dataset\nowner: a@example.com\n"{HOSTILE}": 1\n')
    page = world.get("/")
    assert HOSTILE in page.text
    assert len(page.all("script")) == 2


@pytest.mark.parametrize(
    "address", ["/workflows/%3Cscript%3E", "/runs/%3Cscript%3E", "/?status=%3Cscript%3E", "/%3Cscript%3E"]
)
def test_what_an_address_says_is_never_taken_for_markup(world: World, address: str) -> None:
    world.publish()
    page = world.get(address)
    assert page.status in {400, 404}
    assert "<script>" in page.text
    assert len(page.all("script")) == 2


@pytest.mark.rule("24.7")
def test_what_a_run_logs_is_never_taken_for_markup(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id, "failed", log=f"Error: {HOSTILE}")
    world.execute(run_id, "failed", log=f"Error: {HOSTILE}")
    page = world.get(f"/runs/{run_id}")
    assert f"Error: {HOSTILE}" in page.text
    assert len(page.all("script")) == 2


@pytest.mark.rule("24.7")
@pytest.mark.parametrize(
    "address", ["/", "/runs", "/workflows/sales.daily", "/workflows/none", "/no-such-page"]
)
def test_every_page_forbids_other_hosts_inline_scripts_and_frames(world: World, address: str) -> None:
    world.publish()
    page = world.get(address)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert not [part for part in page.parts if "style" in part.attributes]
    assert all(part.attributes["src"].startswith("/static/") for part in page.all("script"))


@pytest.mark.rule("24.9")
def test_a_static_file_is_kept_for_ever_under_the_hash_of_its_content(world: World) -> None:
    for part in world.get("/").all("script"):
        answer = world.ask("GET", part.attributes["src"])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
    answer = world.ask("GET", "/static/000000000000/app.css")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content == static_file("app.css").body


@pytest.mark.rule("24.9")
@pytest.mark.parametrize("name", ["..%2froutes.py", "routes.py", "%2fetc%2fpasswd", "app.css.bak"])
def test_no_other_file_is_given_out(world: World, name: str) -> None:
    assert world.ask("GET", f"/static/0/{name}").status_code == 404


def test_every_static_file_is_in_the_package_and_has_a_type() -> None:
    folder = files("basecamp.web").joinpath("static")
    assert {file.name for file in folder.iterdir()} == MEDIA_TYPES.keys()
