from __future__ import annotations

from collections.abc import Callable

import pytest
from httpx import Response

from basecamp.runs.history import HistoryFilter
from unit.basecamp.web.conftest import SQL, Page, World, make_yaml

PageOf = Callable[[Response], Page]


@pytest.mark.rule("24.1")
def test_it_shows_the_spec_as_it_is_stored(world: World) -> None:
    world.publish()
    page = world.get("/workflows/sales.daily")
    codes = ["".join(part.texts) for part in page.all("pre", class_="code")]
    assert SQL in codes
    assert make_yaml("sales.daily") in codes
    info = world.services.workflows.get("sales.daily").value
    assert info.spec_hash is not None
    assert info.spec_hash in page.text


def test_it_links_to_its_dag_at_the_public_address_of_airflow(world: World) -> None:
    world.publish()
    assert world.get("/workflows/sales.daily").all("a", href="https://airflow.example.com/dags/sales.daily")


def test_it_links_to_the_datasets_that_it_reads(world: World) -> None:
    world.publish("sales.weekly", {"tags: [clicks]": "depends_on: [sales.daily]"})
    assert world.get("/workflows/sales.weekly").all("a", href="/workflows/sales.daily")


@pytest.mark.rule("32.6")
def test_it_shows_its_neighbours_in_the_graph_with_their_states(world: World) -> None:
    world.publish("sales.weekly", {"tags: [clicks]": "depends_on: [sales.daily, sales.gone]"})
    world.publish("sales.daily")
    page = world.get("/workflows/sales.weekly")
    assert "sales.daily active" in " ".join(page.text.split())
    assert "sales.gone not registered" in " ".join(page.text.split())
    below = world.get("/workflows/sales.daily")
    assert below.all("a", href="/workflows/sales.weekly")
    assert "sales.weekly active" in " ".join(below.text.split())


def test_code_says_that_it_is_changed_in_git_and_manual_how_to_register(world: World) -> None:
    world.publish("sales.daily")
    world.register("sales.weekly")
    assert "change it in Git" in world.get("/workflows/sales.daily").text
    assert "dli dataset register" in world.get("/workflows/sales.weekly").text


@pytest.mark.rule("24.2")
def test_an_overridden_manual_spec_says_so_and_has_no_buttons(world: World) -> None:
    world.register()
    world.publish()
    assert world.get("/workflows/sales.daily").all("a", href="/workflows/sales.daily?source=manual")
    page = world.get("/workflows/sales.daily?source=manual")
    assert "stored but does not run" in page.text
    assert not page.all("form")


def test_a_newer_version_that_cannot_be_used_is_told_beside_the_one_that_goes_on(world: World) -> None:
    world.publish()
    world.get("/")
    text = make_yaml("sales.daily", {"0 9 * * *": "0 25 * * *"})
    world.put("code/sales.daily/sales.daily.yaml", text)
    page = world.get("/workflows/sales.daily")
    assert page.status == 200
    assert "is invalid; this version keeps running" in page.text
    assert "'0 25 * * *' is not a cron expression" in page.text


def test_a_dataset_whose_id_another_dag_has_says_which(world: World, page_of: PageOf) -> None:
    world.publish()
    world.airflow.take_over("sales.daily")
    refused = page_of(world.post("/workflows/sales.daily/pause"))
    assert "etl.py in the bundle 'company'" in refused.text
    page = world.get("/workflows/sales.daily")
    assert "Does not run: Another DAG has the id of the dataset 'sales.daily'" in page.text
    assert "this one goes on" not in page.text


def test_the_form_has_an_input_of_the_type_of_each_parameter(world: World) -> None:
    world.publish(
        replace={
            "description: No more rows than this.": "description: No more rows than this.\n"
            "  - {name: share, type: float, default: 0.5}\n"
            "  - {name: full, type: boolean, default: false}\n"
            "  - {name: region, type: string, default: KR, choices: [KR, JP]}\n"
            "  - {name: pages, type: list, required: false}"
        }
    )
    page = world.get("/workflows/sales.daily")
    date = page.one("input", name="p.execution_date").attributes
    assert (date["type"], "required" in date) == ("date", True)
    limit = page.one("input", name="p.limit").attributes
    assert (limit["type"], limit["step"], "required" in limit) == ("number", "1", False)
    assert page.one("input", name="p.share").attributes["step"] == "any"
    assert page.one("input", name="p.pages").attributes["type"] == "text"
    assert "KR (default)" in page.one("select", name="p.region").text
    assert page.one("select", name="p.full").text.split() == ["false", "(default)", "true", "false"]
    assert page.one("label", **{"for": "p-limit"}).text == "limit"
    assert "Default: 100. No more rows than this." in page.text


@pytest.mark.rule("24.2")
def test_run_starts_a_run_and_leads_to_its_page(world: World, page_of: PageOf) -> None:
    world.publish()
    sent = {"p.execution_date": "2024-01-14", "p.limit": "7", "do": "run", "key": "k1"}
    answer = world.post("/workflows/sales.daily/runs", sent)
    assert answer.status_code == 303
    [run] = world.services.run_history.page(HistoryFilter()).items
    assert answer.headers["location"] == f"/runs/{run.run_id}"
    assert run.parameters == {"execution_date": "2024-01-14", "limit": 7}


@pytest.mark.rule("24.4")
def test_an_empty_field_is_the_default(world: World) -> None:
    world.publish()
    world.post("/workflows/sales.daily/runs", {"p.execution_date": "2024-01-14", "p.limit": " "})
    [run] = world.services.run_history.page(HistoryFilter()).items
    assert run.parameters["limit"] == 100


@pytest.mark.rule("24.4")
def test_the_same_form_sent_twice_starts_one_run(world: World) -> None:
    world.publish()
    sent = {"p.execution_date": "2024-01-14", "key": "k1"}
    first, second = (world.post("/workflows/sales.daily/runs", sent) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert len(world.services.run_history.page(HistoryFilter()).items) == 1


def test_each_page_has_a_new_key_for_its_order(world: World) -> None:
    world.publish()
    keys = {
        key.attributes["value"]
        for _ in range(2)
        for key in world.get("/workflows/sales.daily").all("input", name="key")
    }
    assert len(keys) == 4


def test_a_parameter_that_does_not_fit_is_shown_with_what_was_typed(world: World, page_of: PageOf) -> None:
    world.publish()
    sent = {"p.execution_date": "2024-13-01", "p.limit": "7"}
    page = page_of(world.post("/workflows/sales.daily/runs", sent))
    assert page.status == 422
    assert "there is no date 2024-13-01" in page.one("div", role="alert").text
    assert page.one("input", name="p.limit").attributes["value"] == "7"
    assert not world.services.run_history.page(HistoryFilter()).items


def test_an_unknown_parameter_is_refused_as_the_api_does(world: World, page_of: PageOf) -> None:
    world.publish()
    sent = {"p.execution_date": "2024-01-14", "p.limt": "7"}
    page = page_of(world.post("/workflows/sales.daily/runs", sent))
    assert page.status == 422
    assert "Unknown parameter 'limt'. Allowed: execution_date, limit" in page.text


@pytest.mark.rule("24.2")
def test_the_preview_shows_the_sql_and_starts_nothing(world: World, page_of: PageOf) -> None:
    world.publish()
    sent = {"p.execution_date": "2024-01-14", "do": "preview"}
    page = page_of(world.post("/workflows/sales.daily/runs", sent))
    assert page.status == 200
    assert "SELECT * FROM clicks WHERE day = '2024-01-14' LIMIT 100" in page.text
    assert not world.services.run_history.page(HistoryFilter()).items


@pytest.mark.rule("24.2")
def test_pause_and_unpause_come_back_to_the_dataset(world: World) -> None:
    world.publish()
    answer = world.post("/workflows/sales.daily/pause")
    assert (answer.status_code, answer.headers["location"]) == (303, "/workflows/sales.daily")
    page = world.get("/workflows/sales.daily")
    assert page.one("span", class_="paused").text == "paused"
    assert "Paused: no run starts until the dataset is unpaused." in page.text
    world.post("/workflows/sales.daily/unpause", {"key": "k2"})
    assert world.get("/workflows/sales.daily").all("span", class_="active")


def test_a_paused_dataset_cannot_be_run(world: World, page_of: PageOf) -> None:
    world.publish()
    world.post("/workflows/sales.daily/pause")
    assert "disabled" in world.get("/workflows/sales.daily").one("button", value="run").attributes
    page = page_of(world.post("/workflows/sales.daily/runs", {"p.execution_date": "2024-01-14"}))
    assert page.status == 409
    assert "dli workflow unpause sales.daily" in page.one("div", role="alert").text


def test_there_is_no_pause_to_clear_twice(world: World, page_of: PageOf) -> None:
    world.publish()
    page = page_of(world.post("/workflows/sales.daily/unpause"))
    assert page.status == 409
    assert "This dataset is not paused." in page.one("div", role="alert").text


def test_the_address_of_an_order_leads_back_to_the_page(world: World) -> None:
    for order in ("runs", "pause", "unpause"):
        answer = world.ask("GET", f"/workflows/sales.daily/{order}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/workflows/sales.daily")


@pytest.mark.rule("10.14")
def test_it_warns_of_rows_that_no_statement_stores(world: World) -> None:
    world.register("sales.daily")
    assert (
        "The rows of the query are not stored: no statement writes them"
        in world.get("/workflows/sales.daily").text
    )


@pytest.mark.rule("24.6")
def test_runs_that_airflow_has_not_told_are_not_known_and_not_none(world: World) -> None:
    """The list was read before Airflow stopped to answer, the runs of this dataset never."""
    world.publish()
    world.get("/")
    world.airflow.down = "timed out"
    page = world.get("/workflows/sales.daily")
    assert page.status == 200
    assert "The runs are not known while Airflow does not answer." in page.text
    assert "not known whether Airflow has loaded it" in page.text
    assert "No runs yet." not in page.text
    world.airflow.down = None
    assert "No runs yet." in world.get("/workflows/sales.daily").text
