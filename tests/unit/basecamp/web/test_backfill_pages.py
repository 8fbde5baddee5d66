from __future__ import annotations

from typing import Any

import pytest

from basecamp.backfills.requests import BackfillRequest
from basecamp.shared.waiting import run_through
from unit.basecamp.web.conftest import World


def start(world: World, *, days: int = 3, **options: Any) -> str:
    """Start a backfill from the first of January on; return its id."""
    world.clock.advance(1)
    request = BackfillRequest(
        dataset="sales.daily",
        start="2024-01-01",
        end=f"2024-01-{days:02}",
        parameters={"limit": 7},
        **options,
    )
    return world.services.backfill_starter.start(request, requested_by="dana").backfill_id


def build(world: World, backfill_id: str, day: int, *states: Any) -> str:
    """Let the server ask for the run of a date, and Airflow execute its attempts; return the run's id."""
    run_id = f"{backfill_id}_202401{day:02}"
    run_through(world.services.backfill_steps.advance("sales.daily"), world.clock)
    for state in states:
        world.execute(run_id, state, log="Error: no table" if state == "failed" else "")
    world.clock.advance(5)
    run_through(world.services.backfill_steps.advance("sales.daily"), world.clock)
    return run_id


@pytest.mark.rule("14.15", "24.1")
def test_a_backfill_shows_how_far_it_is_its_present_date_and_who_asked(world: World) -> None:
    world.publish()
    backfill_id = start(world)
    first = build(world, backfill_id, 1, "success")
    second = build(world, backfill_id, 2)
    page = world.get(f"/backfills/{backfill_id}")
    assert page.one("h1").text == backfill_id
    assert "1 of 3 dates" in page.text
    assert page.one("progress").attributes["value"] == "1"
    assert page.all("a", href=f"/runs/{second}")[0].text == "2024-01-02"
    assert "dana" in page.text
    assert "limit 7" in page.text
    assert [cell.text for cell in page.all("td", class_="main")] == [second, first]


@pytest.mark.rule("24.2")
def test_a_backfill_is_refreshed_and_can_be_stopped_until_it_has_ended(world: World) -> None:
    world.publish()
    backfill_id = start(world)
    build(world, backfill_id, 1)
    page = world.get(f"/backfills/{backfill_id}")
    assert page.one("div", id="live").attributes["data-refresh"] == "2"
    form = page.one("form").attributes["action"]
    answer = world.post(form, {"reason": "<b>wrong</b> table"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/backfills/{backfill_id}")
    page = world.get(f"/backfills/{backfill_id}")
    assert page.one("div", class_="head").text.count("killed") == 1
    assert any("<b>wrong</b> table" in part.text for part in page.all("p", class_="notice"))
    assert "data-refresh" not in page.one("div", id="live").attributes
    assert not page.all("form")


def test_a_failed_backfill_says_why_and_leads_to_the_runs_of_the_dates(world: World) -> None:
    world.publish()
    backfill_id = start(world)
    failed = build(world, backfill_id, 1, "failed", "failed")
    page = world.get(f"/backfills/{backfill_id}")
    assert "2024-01-01 failed: Error: no table" in page.one("div", class_="bad").text
    assert "1 failed" in page.one("p", class_="progress").text
    assert {part.text for part in page.all("a", href=f"/runs/{failed}")} == {"2024-01-01", failed}


@pytest.mark.rule("24.1")
def test_a_dataset_shows_its_backfills_and_each_of_their_runs_leads_to_its_own(world: World) -> None:
    world.publish()
    earlier = start(world, days=1)
    run_id = build(world, earlier, 1, "success")
    run_through(world.services.backfill_steps.advance("sales.daily"), world.clock)
    present = start(world)
    build(world, present, 1, "success")
    page = world.get("/workflows/sales.daily")
    shown = [part.text for part in page.all("a") if part.attributes["href"].startswith("/backfills/")]
    assert [text for text in shown if text in {earlier, present}] == [present, earlier]
    assert "A backfill is running: 1 of 3 dates, now 2024-01-02." in page.text
    for address in (f"/runs/{run_id}", "/runs?dataset=sales.daily&until=2024-01-16"):
        assert world.get(address).all("a", href=f"/backfills/{earlier}")


def test_a_backfill_that_is_not_there_is_a_page_that_says_so(world: World) -> None:
    page = world.get("/backfills/sales.daily_20240101_000000")
    assert (page.status, "sales.daily_20240101_000000" in page.text) == (404, True)


def test_while_airflow_is_down_a_backfill_is_shown_with_what_the_store_knows(world: World) -> None:
    world.publish()
    backfill_id = start(world)
    build(world, backfill_id, 1, "success")
    world.airflow.down = "connection refused"
    page = world.get(f"/backfills/{backfill_id}")
    assert (page.status, "1 of 3 dates" in page.text) == (200, True)
    assert any("Airflow does not answer" in part.text for part in page.all("p", class_="warn"))


def test_a_stop_of_a_backfill_from_another_site_is_refused(world: World) -> None:
    world.publish()
    backfill_id = start(world)
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert world.post(f"/backfills/{backfill_id}/stop", headers=headers).status_code == 403
    assert not world.services.backfill_lookup.get(backfill_id).value.status.finished


def test_the_address_of_the_order_to_stop_leads_back_to_the_page(world: World) -> None:
    answer = world.ask("GET", "/backfills/a_20240101_000000/stop", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/backfills/a_20240101_000000")


@pytest.mark.rule("14.22", "34.15")
def test_hours_are_shown_as_such_and_a_chain_on_the_page_of_each_dataset(world: World) -> None:
    hourly = {'"0 9 * * *"': '"0 * * * *"', "type: date\n": "type: datetime\n"}
    world.publish("sales.daily", hourly)
    world.publish("sales.low", hourly | {"query_file:": "depends_on: [sales.daily]\nquery_file:"})
    backfill_id = start(world, days=1, with_downstream=True)
    page = world.get(f"/backfills/{backfill_id}")
    assert "2024-01-01 00:00 to 2024-01-01 23:00" in page.text
    assert "0 of 48 partitions" in page.text
    assert "sales.daily 2024-01-01 00:00" in page.text
    low = world.get("/workflows/sales.low")
    assert "A backfill is running: 0 of 48 partitions, now sales.daily 2024-01-01 00:00." in low.text
