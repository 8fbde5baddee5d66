"""What happens to a backfill when Airflow fails, or somebody acts, in the middle of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from acceptance.engine import Gated
from acceptance.test_backfill import has_ended, runs_of, started
from acceptance.test_backfill import until as until_backfill
from airflow_api import Airflow, until
from http_proxy import Proxy, Request, answer, proxy
from integration.basecamp.test_serve import Serve
from lines_here import on_airflow_3
from postgres import Postgres
from stacks import Stack

pytestmark = on_airflow_3

CLEAR_SECONDS = 180
"""Within how long a command ends while Airflow fails, also on a slow machine."""


@dataclass(frozen=True)
class Behind:
    """A server that reaches Airflow through a proxy, and whose backfills no other server carries on."""

    proxy: Proxy
    server: Serve
    stack: Stack
    """The same Airflow, asked by way of that server."""
    name: str
    gated: Gated


@pytest.fixture
def behind(server_behind: Behind) -> Iterator[Behind]:
    """The server, with nothing wrong in the beginning."""
    yield server_behind
    server_behind.proxy.rule = lambda _: None


@pytest.fixture(scope="module")
def server_behind(
    stack: Stack, engine: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    gated = Gated(stack, engine)
    name = gated.register()
    folder = tmp_path_factory.mktemp("behind")
    shutil.copytree(store_of(stack) / "manual", folder / "store" / "manual")
    with proxy(stack.airflow_url) as between:
        settings = {
            "BASECAMP_STORE_URL": str(folder / "store"),
            "BASECAMP_AIRFLOW_URL": between.url,
            "BASECAMP_AIRFLOW_USERNAME": "basecamp",
            "BASECAMP_AIRFLOW_PASSWORD": "any will do",
        }
        server = Serve(settings, folder / "log")
        try:
            yield Behind(between, server, replace(stack, server_url=server.url()), name, gated)
        finally:
            server.process.kill()
            server.process.wait()


def store_of(stack: Stack) -> Path:
    return Path(urlsplit(stack.store_url).path)


FAULTS: dict[str, tuple[Callable[[Proxy], AbstractContextManager[None]], str]] = {
    "down": (lambda proxy: proxy.away(), "Airflow does not answer."),
    "500": (
        lambda proxy: proxy.failing(answer(500, '{"detail": "boom"}')),
        "Airflow answered with an error.",
    ),
    "429": (
        lambda proxy: proxy.failing(answer(429, '{"detail": "slow down"}', Retry_After="1")),
        "Airflow gets too many requests.",
    ),
    "401": (
        lambda proxy: proxy.failing(answer(401, '{"detail": "Unauthorized"}')),
        "Airflow does not accept Basecamp's credentials.",
    ),
}


@pytest.mark.rule("14.10")
@pytest.mark.parametrize(("fault", "told"), FAULTS.values(), ids=FAULTS)
def test_while_airflow_fails_a_backfill_waits_and_says_so_and_then_goes_on(
    behind: Behind, fault: Callable[[Proxy], AbstractContextManager[None]], told: str
) -> None:
    gated, stack = behind.gated, behind.stack
    year = 2010 + list(FAULTS.values()).index((fault, told))
    first, second = f"{year}-01-01", f"{year}-01-02"
    backfill_id = started(stack, behind.name, first, second)
    until(lambda: gated.is_at(first))

    with fault(behind.proxy):
        gated.open(first)
        shown = until_backfill(stack, backfill_id, lambda shown: shown["note"] is not None)
        assert shown["status"] == "RUNNING"
        assert shown["note"] == f"{told} The backfill continues when Airflow is available again."
        before = time.monotonic()
        refused = stack.cli("workflow", "run", behind.name, "-p", f"execution_date={second}")
        assert (refused.returncode, refused.stdout) == (5, "")
        assert told in refused.stderr
        assert time.monotonic() - before < CLEAR_SECONDS

    gated.open(second)
    ended = until_backfill(stack, backfill_id, has_ended)
    assert (ended["status"], ended["dates_done"]) == ("COMPLETED", 2)
    built = [day for day, _ in gated.built() if day.startswith(str(year))]
    assert built == [first, second]


@pytest.mark.rule("15.5")
def test_a_token_that_expires_in_the_middle_of_a_backfill_is_renewed_unseen(behind: Behind) -> None:
    """Airflow 2 gets a name and a password each time, so this is of Airflow 3 alone."""
    gated, between = behind.gated, behind.proxy
    backfill_id = started(behind.stack, behind.name, "2020-01-01", "2020-01-02")
    until(lambda: gated.is_at("2020-01-01"))
    old = between.asked[-1].headers["authorization"]
    log_ins = partial(count, between, "/auth/token")
    before, waited = log_ins(), behind.server.log.count("waits: ")

    def expired(request: Request) -> Any:
        is_old = request.headers.get("authorization") == old
        return answer(401, '{"detail": "Token Expired"}') if is_old else None

    between.rule = expired
    gated.open("2020-01-01", "2020-01-02")
    ended = until_backfill(behind.stack, backfill_id, has_ended)

    assert (ended["status"], ended["dates_done"]) == ("COMPLETED", 2)
    assert log_ins() == before + 1
    assert behind.server.log.count("waits: ") == waited


def count(between: Proxy, path: str) -> int:
    return sum(request.path == path for request in between.asked)


@pytest.mark.rule("14.12")
def test_a_run_that_is_deleted_in_airflow_in_the_middle_of_a_backfill_is_built_again(behind: Behind) -> None:
    """Airflow 3 lets nobody delete a run that executes: a pause keeps this one from it."""
    gated, airflow, dag = behind.gated, Airflow(behind.stack), f"/dags/{behind.name}"

    def paused_before_the_trigger(request: Request) -> None:
        if request.method == "POST" and request.path.endswith("/dagRuns"):
            airflow.ask(dag, "PATCH", {"is_paused": True})

    behind.proxy.rule = paused_before_the_trigger
    backfill_id = started(behind.stack, behind.name, "2021-01-01", "2021-01-02")
    run_id = f"{backfill_id}_20210101"
    until(lambda: run_id in str(airflow.ask(f"{dag}/dagRuns?limit=100")))
    behind.proxy.rule = lambda _: None
    airflow.ask(f"{dag}/dagRuns/{run_id}", "DELETE", accept="*/*")
    airflow.ask(dag, "PATCH", {"is_paused": False})
    gated.open("2021-01-01", "2021-01-02")

    ended = until_backfill(behind.stack, backfill_id, has_ended)
    assert (ended["status"], ended["dates_done"]) == ("COMPLETED", 2)
    built = [day for day, _ in gated.built() if day.startswith("2021")]
    assert built == ["2021-01-01", "2021-01-02"]


@pytest.mark.rule("14.10")
def test_a_pause_in_the_middle_holds_it_and_it_says_so_until_the_dataset_is_unpaused(
    stack: Stack, engine: Postgres
) -> None:
    gated = Gated(stack, engine)
    name = gated.register()
    backfill_id = started(stack, name, "2024-01-01", "2024-01-02")
    until(lambda: gated.is_at("2024-01-01"))

    assert stack.cli("workflow", "pause", name).returncode == 0
    gated.open("2024-01-01", "2024-01-02")
    until(gated.built)
    shown = until_backfill(stack, backfill_id, lambda shown: shown["note"] is not None)
    assert shown["status"] == "RUNNING"
    assert shown["note"] == f"Waiting: the dataset is paused. Resume it with: dli workflow unpause {name}"
    assert [day for day, _ in gated.begun()] == ["2024-01-01"]

    assert stack.cli("workflow", "unpause", name).returncode == 0
    assert until_backfill(stack, backfill_id, has_ended)["status"] == "COMPLETED"
    assert [day for day, _ in gated.built()] == ["2024-01-01", "2024-01-02"]


@pytest.mark.rule("14.11")
def test_when_code_takes_the_dataset_over_in_the_middle_the_rest_is_built_by_its_version(
    stack: Stack, engine: Postgres
) -> None:
    gated = Gated(stack, engine)
    name = gated.register()
    backfill_id = started(stack, name, "2024-01-01", "2024-01-03")
    until(lambda: gated.is_at("2024-01-01"))

    spec = {"name": name, "type": "Dataset", "owner": "ann@example.com", **gated.spec("of code")}
    file = store_of(stack) / "code" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(spec))
    assert stack.cli("workflow", "sync").returncode == 0
    gated.open("2024-01-01", "2024-01-02", "2024-01-03")

    ended = until_backfill(stack, backfill_id, has_ended)
    assert (ended["status"], ended["dates_done"]) == ("COMPLETED", 3), json.dumps(ended)
    assert gated.built() == [
        ["2024-01-01", "first"],
        ["2024-01-02", "of code"],
        ["2024-01-03", "of code"],
    ]
    assert [run["source_type"] for run in runs_of(stack, name)] == ["manual", "code", "code"]


@pytest.mark.rule("14.11")
def test_a_dataset_that_is_removed_in_the_middle_ends_it_after_the_present_date(
    stack: Stack, engine: Postgres
) -> None:
    gated = Gated(stack, engine)
    name = gated.register()
    backfill_id = started(stack, name, "2024-01-01", "2024-01-03")
    until(lambda: gated.is_at("2024-01-01"))

    assert stack.cli("dataset", "unregister", name, "--yes").returncode == 0
    gated.open("2024-01-01", "2024-01-02", "2024-01-03")

    waited = stack.cli("workflow", "status", backfill_id, "--wait")
    assert waited.returncode == 1
    assert "The dataset was removed while its backfill was under way." in waited.stderr
    ended = stack.ask("workflow", "status", backfill_id)
    assert (ended["status"], ended["dates_done"]) == ("FAILED", 1)
    assert [run["status"] for run in runs_of(stack, name)] == ["COMPLETED"]
    assert [day for day, _ in gated.built()] == ["2024-01-01"]
