from __future__ import annotations

import pytest

from dataspec.store.base import MISSING
from unit.basecamp.web.conftest import World


def names(world: World, address: str) -> list[str]:
    return [cell.text.split()[0] for cell in world.get(address).all("td", class_="main")]


@pytest.mark.rule("24.1")
def test_a_row_shows_source_status_schedule_next_run_and_owner(world: World) -> None:
    world.publish()
    [row] = world.get("/").all("tr")[1:]
    for shown in ("sales.daily", "code", "active", "0 9 * * *", "Asia/Seoul", "2024-01-16 09:00"):
        assert shown in row.text
    assert "engineer@example.com" in row.text
    assert "@data-engineering" in row.text


def test_code_and_the_manual_spec_that_it_overrides_are_two_rows(world: World) -> None:
    world.register()
    world.publish()
    page = world.get("/")
    assert [row.text.split()[0] for row in page.all("td", class_="main")] == ["sales.daily"] * 2
    assert "overridden" in page.all("tr")[2].text
    assert page.all("a", href="/workflows/sales.daily?source=manual")


@pytest.mark.rule("24.3")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["hr.people", "sales.daily", "sales.weekly"]),
        ("?q=sales", ["sales.daily", "sales.weekly"]),
        ("?q=SALES+week", ["sales.weekly"]),
        ("?q=nobody@example.com", ["hr.people"]),
        ("?source=code", ["sales.daily"]),
        ("?source=manual&q=sales", ["sales.weekly"]),
        ("?status=paused", ["sales.weekly"]),
        ("?status=active", ["hr.people", "sales.daily"]),
        ("?status=running", ["sales.daily"]),
        ("?source=all&status=", ["hr.people", "sales.daily", "sales.weekly"]),
        ("?q=nothing-like-it", []),
    ],
)
def test_a_filter_stands_in_the_address(world: World, query: str, expected: list[str]) -> None:
    world.publish("sales.daily")
    world.register("sales.weekly")
    world.register("hr.people", {"engineer@example.com": "nobody@example.com"})
    world.services.pauses.pause("sales.weekly")
    world.execute(world.start())
    assert names(world, f"/{query}") == expected


def test_the_filter_form_shows_what_is_filtered_by(world: World) -> None:
    world.publish()
    page = world.get("/?q=sales&source=code&status=active")
    assert page.one("input", name="q").attributes["value"] == "sales"
    assert [option.text for option in page.all("option", selected="")] == ["code", "active"]


def test_the_list_refreshes_with_the_filter_of_its_address(world: World) -> None:
    world.publish()
    live = world.get("/?q=sales&status=active").one("section", id="live").attributes
    assert live["hx-get"] == "/?q=sales&status=active"
    assert live["data-refresh"] == "5"


def test_a_filter_that_was_typed_is_written_into_the_address_bar_without_its_empty_fields(
    world: World,
) -> None:
    world.publish()
    page = world.get("/?q=sales&source=&status=", **{"HX-Request": "true"})
    assert page.headers["hx-replace-url"] == "/?q=sales"


def test_a_status_that_there_is_not_is_an_error_that_names_those_there_are(world: World) -> None:
    page = world.get("/?status=pausd")
    assert page.status == 400
    assert "paused" in page.text
    assert "Did you mean 'paused'?" in page.text


def test_an_invalid_spec_shows_its_problem_with_line_and_column(world: World) -> None:
    world.put("code/broken.yaml", "name: sales.broken\ntype: Dataset\nonwer: a@example.com\n")
    row = world.get("/?status=invalid").all("tr")[1]
    assert "sales.broken" in row.text
    assert "code/broken.yaml:3:1: unknown key 'onwer'" in row.text


def test_the_last_run_of_each_dataset_shows_its_status(world: World) -> None:
    world.publish()
    world.execute(world.start(), "success")
    last = world.start()
    world.execute(last, "failed")
    world.execute(last, "failed")
    page = world.get("/")
    [link] = page.all("a", href=f"/runs/{last}")
    assert link.text == "failed"


def test_a_run_that_executes_is_linked_from_its_dataset(world: World) -> None:
    world.publish()
    run_id = world.start()
    world.execute(run_id)
    assert world.get("/").one("a", href=f"/runs/{run_id}").text == "running"


@pytest.mark.rule("24.6")
def test_when_airflow_does_not_answer_the_page_says_so_with_the_age_of_what_it_shows(world: World) -> None:
    world.publish()
    assert not world.get("/").all("p", class_="warn")
    world.airflow.down = "connection refused"
    world.clock.advance(45)
    page = world.get("/")
    assert page.status == 200
    assert "sales.daily" in page.text
    assert "Airflow does not answer. What is shown is 45 s old." in page.one("p", class_="warn").text


@pytest.mark.rule("24.6")
def test_a_page_that_airflow_never_answered_for_is_an_error_that_tries_again(world: World) -> None:
    world.publish()
    world.airflow.down = "connection refused"
    page = world.get("/")
    assert page.status == 503
    assert "Airflow does not answer." in page.text
    assert page.all("meta", **{"http-equiv": "refresh"})


def test_an_empty_list_says_how_to_register(world: World) -> None:
    assert "dli dataset register" in world.get("/").text


def test_more_datasets_than_fit_are_on_further_pages(world: World) -> None:
    body = "name: many.d{:03}\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n"
    for number in range(101):
        world.store.put(f"code/{number}.yaml", body.format(number).encode(), expected=MISSING)
    assert len(names(world, "/?q=many")) == 100
    assert world.get("/?q=many").one("a", rel="next").attributes["href"] == "/?page=2&q=many"
    assert names(world, "/?page=2&q=many") == ["many.d100"]


@pytest.mark.rule("38.17")
def test_row_says_what_is_late_and_how_many_runs_have_failed_in_a_row(world: World) -> None:
    zone = "  timezone: Asia/Seoul\n"
    world.publish(replace={zone: f'{zone}deadline: {{by: "10:00"}}\n'})
    for _ in range(2):
        run_id = world.start()
        world.execute(run_id, "failed")
        world.execute(run_id, "failed")
        world.clock.advance(61)
    world.clock.advance(2 * 86_400)
    text = world.get("/").text
    assert "Late since" in text
    assert "2 runs failed in a row" in text
