from __future__ import annotations

import pytest

from unit.basecamp.web.conftest import World


@pytest.mark.rule("24.6")
def test_an_unknown_dataset_is_a_page_with_the_api_s_wording_and_the_nearest_name(world: World) -> None:
    world.publish()
    page = world.get("/workflows/sales.dialy")
    problem = world.ask("GET", "/api/v1/workflows/sales.dialy").json()
    assert page.status == problem["status"] == 404
    assert page.one("h1").text == problem["title"]
    assert "Did you mean 'sales.daily'?" in page.text
    assert problem["detail"] in page.text


def test_an_unknown_run_is_a_page(world: World) -> None:
    world.publish()
    page = world.get("/runs/sales.daily_20200101_000001")
    assert page.status == 404
    assert page.one("h1").text == "Run not found: sales.daily_20200101_000001"


def test_a_dataset_whose_only_spec_is_invalid_shows_every_problem(world: World) -> None:
    world.put("code/x.yaml", "name: sales.broken\ntype: Dataset\nonwer: a@example.com\n")
    page = world.get("/workflows/sales.broken")
    assert page.status == 422
    assert "code/x.yaml:3:1: unknown key 'onwer'" in page.text


def test_an_order_for_an_unknown_dataset_is_a_page(world: World) -> None:
    for order in ("runs", "pause", "unpause"):
        assert world.post(f"/workflows/sales.none/{order}").status_code == 404


def test_a_person_gets_a_page_for_a_wrong_address_and_a_program_a_problem(world: World) -> None:
    assert world.get("/workflow/sales.daily").one("h1").text == "There is no such page."
    answer = world.ask("GET", "/workflow/sales.daily", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = world.ask("GET", "/api/v1/nothing", headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/problem+json"


def test_when_airflow_is_down_an_order_fails_with_a_page_that_says_so(world: World) -> None:
    world.publish()
    world.get("/workflows/sales.daily")
    world.airflow.down = "connection refused"
    answer = world.post("/workflows/sales.daily/runs", {"p.execution_date": "2024-01-14"})
    assert answer.status_code == 503
    assert "Airflow does not answer." in answer.text
