from __future__ import annotations

import pytest

from dataspec.models import CheckResult
from unit.basecamp.web.conftest import World


def run_ids(world: World, address: str) -> list[str]:
    return [cell.text.split()[0] for cell in world.get(address).all("td", class_="main")]


@pytest.mark.rule("24.1")
def test_a_run_shows_its_status_parameters_attempts_and_log(world: World) -> None:
    world.publish()
    run_id = world.start(limit=7)
    world.execute(run_id, log="42 rows written")
    page = world.get(f"/runs/{run_id}")
    assert page.one("span", class_="running").text == "running"
    assert "limit 7" in page.text
    assert "1 of 2" in page.text
    assert "42 rows written" in page.one("pre", id="log").text


@pytest.mark.rule("24.5")
def test_times_are_sent_with_offset_and_read_as_utc_without_a_script(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id, "success")
    started = world.clock.now()
    page = world.get(f"/runs/{run_id}")
    times = page.all("time", datetime=f"{started:%Y-%m-%dT%H:%M:%S+00:00}")
    assert {part.text for part in times} == {f"{started:%Y-%m-%d %H:%M:%S UTC}"}


def test_a_run_refreshes_and_can_be_stopped_until_it_has_ended(world: World) -> None:
    world.publish()
    run_id = world.start()
    page = world.get(f"/runs/{run_id}")
    assert page.one("div", id="live").attributes["data-refresh"] == "2"
    assert page.one("form", action=f"/runs/{run_id}/stop")
    world.execute(run_id, "success")
    page = world.get(f"/runs/{run_id}")
    assert "data-refresh" not in page.one("div", id="live").attributes
    assert not page.all("form")


def test_a_failed_run_shows_the_error_and_the_log_of_each_attempt(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id, "failed", log="first try")
    world.execute(run_id, "failed", log="Error: no table clicks")
    page = world.get(f"/runs/{run_id}")
    assert "Error: no table clicks" in page.one("div", class_="bad").text
    assert page.all("a", href=f"/runs/{run_id}?attempt=1")
    first = world.get(f"/runs/{run_id}?attempt=1")
    assert "first try" in first.one("pre", id="log").text
    assert "no attempt 9" in world.get(f"/runs/{run_id}?attempt=9").text


@pytest.mark.rule("37.15")
def test_a_run_shows_what_its_checks_found(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id, "success")
    message = "checks[1] of x.yaml: the check 'small': there is 1 row, fewer than 2."
    failing = CheckResult(name="small", severity="warn", status="warned", rows=1, message=message)
    passed = CheckResult(name="<b>", severity="error", status="passed", rows=0)
    world.airflow.note_checks("sales.daily", run_id, [passed, failing])
    page = world.get(f"/runs/{run_id}")
    shown = next(part.text for part in page.all("div", class_="notice") if part.text.startswith("Checks"))
    assert "<b>: passed" in shown
    assert message in shown


@pytest.mark.rule("24.2")
def test_stop_ends_the_run_with_who_and_why_in_its_note(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id)
    answer = world.post(f"/runs/{run_id}/stop", {"reason": "<b>wrong</b> day"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}")
    page = world.get(f"/runs/{run_id}")
    assert page.one("span", class_="killed").text == "killed"
    note = next(part for part in page.all("p", class_="notice") if "Stopped by" in part.text)
    assert note.text.endswith("<b>wrong</b> day")
    assert not page.all("b")


def test_a_long_log_is_shown_by_its_end(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id, log="\n".join(f"line {number}" for number in range(1000)))
    page = world.get(f"/runs/{run_id}")
    log = "".join(page.one("pre", id="log").texts)
    assert log.endswith("line 999")
    assert len(log.splitlines()) == 300
    assert "700 earlier lines omitted" in page.text


@pytest.mark.rule("24.1")
def test_the_history_is_newest_first(world: World) -> None:
    world.publish()
    first, second = world.start(), world.start()
    assert run_ids(world, "/runs") == [second, first]


@pytest.mark.rule("24.3")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=COMPLETED", ["a"]),
        ("status=pending", ["b"]),
        ("dataset=sales.daily", ["b", "a"]),
        ("dataset=sales.*&source=code", ["a"]),
        ("run_type=adhoc", ["b", "a"]),
        ("run_type=scheduled", []),
        ("since=2024-01-16", []),
        ("until=2024-01-15", ["b", "a"]),
        ("until=2024-01-14", []),
        ("limit=1", ["b"]),
    ],
)
def test_the_history_is_filtered_by_its_address(world: World, query: str, expected: list[str]) -> None:
    world.publish()
    runs = {"a": world.start(), "b": world.start()}
    world.execute(runs["a"], "success")
    assert run_ids(world, f"/runs?{query}") == [runs[letter] for letter in expected]


def test_older_runs_are_on_the_next_page_with_the_same_filter(world: World) -> None:
    world.publish()
    oldest, _, _ = world.start(), world.start(), world.start()
    older = world.get("/runs?dataset=sales.daily&limit=2").one("a", rel="next").attributes["href"]
    assert run_ids(world, older) == [oldest]
    assert "dataset=sales.daily" in older
    assert "data-refresh" not in world.get(older).one("section", id="live").attributes


def test_a_run_whose_id_does_not_tell_its_dataset_is_linked_with_it(world: World) -> None:
    world.publish()
    world.airflow.trigger(
        "sales.daily", "manual__2024-01-15T09:00:00+00:00", logical_date=world.clock.now(), conf={}
    )
    page = world.get("/runs")
    href = "/runs/manual__2024-01-15T09%3A00%3A00%2B00%3A00?dataset=sales.daily"
    assert page.all("a", href=href)
    assert world.get(href).status == 200


@pytest.mark.parametrize(
    "query",
    [
        "status=DONE",
        "limit=0",
        "limit=x",
        "since=yesterday",
        "until=9999-12-31",
        "cursor=nonsense",
        "since=0001-01-01",
        "since=2024-1-5",
        "since=2024-01-15T09:00:00",
        "until=9999-12-31T23:59:59-23:59",
        "since=0001-01-01T00:00:00%2B23:59",
        "until=%EF%BC%92024-01-01",
    ],
)
def test_a_filter_that_makes_no_sense_is_an_error(world: World, query: str) -> None:
    world.publish()
    page = world.get(f"/runs?{query}")
    assert page.status == 400
    assert page.one("h1").text
