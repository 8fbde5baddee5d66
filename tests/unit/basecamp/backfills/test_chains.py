"""Chains: a backfill with all that is upstream or downstream of its dataset (specification 34)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Grant, Principal, Role
from basecamp.airflow.models import DagRun, LogEvent, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.backfills.plans import HELD_PREFIX, PlanStore, Taken
from basecamp.backfills.requests import BackfillRequest
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.waiting import run_through
from dataspec.errors import Forbidden
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.chain import ChainedDataset
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

Register = Callable[..., Response]
ROOT, MID, LOW, SIDE = "sales.daily", "sales.mid", "sales.low", "sales.side"
ID = f"{ROOT}_20240115_093045"
RANGE = {"start": "2024-01-01", "end": "2024-01-02"}


def start(client: Client, name: str = ROOT, key: str | None = None, **body: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    asked = RANGE | {"with_downstream": True} | body
    answer: Response = client.post(f"/workflows/{name}/backfills", json=asked, headers=headers)
    return answer


def show(client: Client, backfill_id: str = ID) -> dict[str, Any]:
    answer = client.get(f"/backfills/{backfill_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@dataclass
class Worker:
    """An Airflow that executes what is queued, and a reconciler that looks at one backfill."""

    services: Services
    airflow: MemoryAirflow
    clock: ManualClock
    fails: set[tuple[str, str]] = field(default_factory=set)
    widest: int = 0
    """The most runs that were active at the same time."""

    def look(self, root: str = ROOT) -> float | None:
        return run_through(self.services.backfill_steps.advance(root), self.clock)

    def runs(self) -> list[DagRun]:
        return list(self.airflow.list_runs(RunFilter(), limit=100).runs)[::-1]

    def built(self) -> list[str]:
        return [f"{run.dag_id} {run.conf['execution_date']}" for run in self.runs()]

    def execute(self) -> None:
        active = [run for run in self.runs() if not run.finished]
        assert len({run.dag_id for run in active}) == len(active), "a dataset has one run at a time"
        self.widest = max(self.widest, len(active))
        for run in active:
            failed = (run.dag_id, run.conf["execution_date"]) in self.fails
            while not self._run(run).finished:
                self.clock.advance(1)
                self.airflow.start(run.dag_id, run.run_id, source="manual", spec_hash="ab")
                event = LogEvent(message="went wrong", error="Binder Error: no table")
                self.airflow.log_event(run.dag_id, run.run_id, event)
                self.airflow.end(run.dag_id, run.run_id, "failed" if failed else "success")

    def build(self, root: str = ROOT) -> None:
        for _ in range(100):
            if self.look(root) is None:
                return
            self.execute()
            self.clock.advance(1)

    def _run(self, run: DagRun) -> DagRun:
        found = self.airflow.get_run(run.dag_id, run.run_id)
        assert found is not None
        return found


@pytest.fixture
def worker(services: Services, airflow: MemoryAirflow, clock: ManualClock) -> Worker:
    return Worker(services, airflow, clock)


@pytest.fixture
def layers(register: Register) -> None:
    """Three layers: the root, two datasets built from it, and one built from the first of them."""
    register(ROOT)
    for name, upstream in ((MID, ROOT), (SIDE, ROOT), (LOW, MID)):
        register(name, {"query_file:": f"depends_on: [{upstream}]\nquery_file:"})


@pytest.mark.rule("34.1", "34.6")
@pytest.mark.usefixtures("layers")
def test_a_chain_is_built_partition_by_partition_under_one_id(client: Client, worker: Worker) -> None:
    answer = start(client)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["backfill_id"], answer.json()["dates_total"]) == (ID, 8)
    worker.build()
    order = (ROOT, MID, SIDE, LOW)
    assert worker.built() == [f"{name} {day}" for day in ("2024-01-01", "2024-01-02") for name in order]
    assert worker.widest == 2
    assert [run.run_id for run in worker.runs()][:2] == [f"{ID}_20240101", f"{MID}_20240115_093045_20240101"]
    assert {run.conf["_dli"]["backfill_id"] for run in worker.runs()} == {ID}
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("COMPLETED", 8)
    assert done["datasets"] == [ROOT, MID, LOW, SIDE]
    assert (done["failed"], done["not_built"]) == ([], [])
    run = client.get(f"/runs/{MID}_20240115_093045_20240101").json()
    assert (run["dataset_name"], run["backfill_id"]) == (MID, ID)


@pytest.mark.rule("34.1")
@pytest.mark.usefixtures("layers")
def test_with_upstream_a_partition_is_built_after_what_it_needs(client: Client, worker: Worker) -> None:
    start(client, LOW, with_downstream=False, with_upstream=True, end="2024-01-01")
    worker.build(LOW)
    assert worker.built() == [f"{name} 2024-01-01" for name in (ROOT, MID, LOW)]


@pytest.mark.rule("34.4")
@pytest.mark.usefixtures("layers")
def test_a_failure_stops_what_depends_on_it_and_the_end_says_what_was_not_built(
    client: Client, worker: Worker
) -> None:
    worker.fails = {(MID, "2024-01-01")}
    start(client)
    worker.build()
    days = ("2024-01-01", "2024-01-02")
    assert worker.built() == [
        f"{ROOT} {days[0]}",
        f"{MID} {days[0]}",
        f"{SIDE} {days[0]}",
        f"{ROOT} {days[1]}",
        f"{SIDE} {days[1]}",
    ]
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 4)
    assert done["failed_dates"] == [f"{MID} {days[0]}"]
    assert [(one["dataset_name"], one["partition"]) for one in done["not_built"]] == [
        (LOW, days[0]),
        (MID, days[1]),
        (LOW, days[1]),
    ]
    assert done["error"] == (
        f"{MID} {days[0]} failed: Binder Error: no table. "
        f"Not built: {LOW} {days[0]}, {MID} {days[1]}, {LOW} {days[1]}."
    )


@pytest.mark.rule("34.4")
@pytest.mark.usefixtures("layers")
def test_with_keep_going_a_dataset_goes_on_after_its_failed_partition(client: Client, worker: Worker) -> None:
    worker.fails = {(MID, "2024-01-01")}
    start(client, keep_going=True)
    worker.build()
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 6)
    assert [(one["dataset_name"], one["partition"]) for one in done["not_built"]] == [(LOW, "2024-01-01")]


@pytest.mark.rule("34.7")
@pytest.mark.usefixtures("layers")
def test_a_dataset_is_in_one_active_backfill_at_a_time(
    client: Client, worker: Worker, store: MemoryStore
) -> None:
    own = start(client, MID, with_downstream=False).json()["backfill_id"]
    refused = start(client)
    assert (refused.status_code, refused.json()["code"]) == (409, "backfill_active")
    assert refused.json()["title"] == f"A backfill of '{MID}' is under way: {own}"
    worker.build(MID)
    chain = start(client).json()["backfill_id"]
    refused = start(client, LOW, with_downstream=False)
    assert (refused.status_code, refused.json()["backfill_id"]) == (409, chain)
    other = start(client, SIDE, with_downstream=False, with_upstream=True)
    assert other.json()["backfill_id"] == chain
    worker.build()
    assert not list(store.list(HELD_PREFIX))
    assert start(client, LOW, with_downstream=False).status_code == 201


@pytest.mark.rule("34.7")
def test_of_two_chains_that_start_at_once_at_most_one_is_admitted(
    store: MemoryStore, services: Services, clock: ManualClock
) -> None:
    plans = PlanStore(store, ObjectReader(store, clock))
    held = []
    for root in ("a.x", "b.x"):
        chain = (ChainedDataset(dataset=root), ChainedDataset(dataset="c.x", needs=((root, "same"),)))
        plan = BackfillPlan(
            backfill_id=f"{root}_20240115_093045",
            dataset=root,
            start="2024-01-01",
            end="2024-01-01",
            every="partition",
            reverse=False,
            keep_going=False,
            parameters={},
            dates=("2024-01-01", "c.x 2024-01-01"),
            chain=chain,
            requested_by="dana",
            created_at=clock.now(),
        )
        written = plans.create(plan)
        assert written is not None
        held.append(written)
    assert plans.admit(held[0]) is None
    assert plans.admit(held[1]) == Taken("c.x", "a.x_20240115_093045")
    kept, removed = plans.active("a.x"), plans.active("b.x")
    assert kept is not None
    assert kept.plan.is_admitted
    assert removed is None


@pytest.mark.rule("34.7")
def test_a_claim_of_a_chain_that_is_gone_is_void(
    client: Client, register: Register, worker: Worker, store: MemoryStore
) -> None:
    register(ROOT)
    store.put(
        f"{HELD_PREFIX}{ROOT}.json", b'{"format":1,"backfill_id":"no.such_20240101_000001"}', expected=MISSING
    )
    assert start(client, with_downstream=False).status_code == 201


@pytest.mark.rule("34.8")
@pytest.mark.usefixtures("layers")
def test_a_chain_needs_the_right_on_each_of_its_datasets(services: Services) -> None:
    caller = Principal("ann", (Grant(Role.OPERATOR, frozenset({"@mine"})),), "token")
    permitted = PermittedDatasets.of(caller, Role.OPERATOR, {ROOT: "@mine", MID: "@mine", LOW: "@theirs"})
    asked = BackfillRequest(
        dataset=ROOT,
        start="2024-01-01",
        end="2024-01-02",
        parameters={},
        with_downstream=True,
        permitted=permitted,
    )
    with pytest.raises(Forbidden, match=f"may not run: {LOW}, {SIDE}"):
        services.backfill_starter.start(asked, requested_by="ann")


@pytest.mark.rule("34.9")
@pytest.mark.usefixtures("layers")
def test_a_paused_dataset_of_the_chain_is_waited_for(
    client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    client.post(f"/workflows/{LOW}/pause")
    refused = start(client)
    assert (refused.status_code, refused.json()["code"]) == (409, "paused")
    client.post(f"/workflows/{LOW}/unpause")
    start(client)
    client.post(f"/workflows/{MID}/pause")
    for _ in range(5):
        worker.look()
        worker.execute()
    assert worker.built() == [f"{ROOT} 2024-01-01", f"{SIDE} 2024-01-01"]
    assert f"dli workflow unpause {MID}" in show(client)["note"]
    assert show(client)["current_dataset"] == MID
    client.post(f"/workflows/{MID}/unpause")
    worker.build()
    assert show(client)["status"] == "COMPLETED"


@pytest.mark.rule("34.10")
@pytest.mark.usefixtures("layers")
def test_a_stop_ends_the_run_of_any_dataset_and_resume_builds_the_rest(
    client: Client, worker: Worker, clock: ManualClock
) -> None:
    start(client)
    worker.look()
    worker.execute()
    worker.look()
    now = show(client)
    assert now["current_dataset"] == MID
    assert [one["dataset_name"] for one in now["current_partitions"]] == [MID, SIDE]
    stopped = client.post(f"/backfills/{ID}/stop").json()
    assert stopped["status"] == "KILLED"
    assert [run.state for run in worker.runs()] == ["success", "failed", "failed"]
    assert len(stopped["not_built"]) == 7
    clock.advance(10)
    resumed = start(client, resume=True).json()
    assert resumed["dates_total"] == 7
    worker.build()
    assert show(client, resumed["backfill_id"])["status"] == "COMPLETED"
    assert worker.built().count(f"{ROOT} 2024-01-01") == 1


@pytest.mark.rule("34.17")
@pytest.mark.usefixtures("layers")
def test_what_ends_a_chain_lets_the_runs_beside_it_end_first(client: Client, worker: Worker) -> None:
    start(client)
    worker.look()
    worker.execute()
    worker.look()
    _, mid, side = worker.runs()
    assert client.post(f"/runs/{mid.run_id}/stop?dataset={MID}").is_success
    for _ in range(3):
        assert worker.look() is not None
    assert show(client)["status"] == "RUNNING"
    worker.airflow.start(SIDE, side.run_id, source="manual", spec_hash="ab")
    worker.airflow.end(SIDE, side.run_id, "success")
    assert worker.look() is None
    done = show(client)
    assert (done["status"], done["dates_done"], len(worker.runs())) == ("KILLED", 2, 3)


@pytest.mark.rule("34.17")
@pytest.mark.usefixtures("layers")
def test_a_dataset_that_is_removed_ends_the_chain_after_the_run_beside_it(
    client: Client, worker: Worker
) -> None:
    start(client)
    worker.look()
    worker.execute()
    client.post(f"/workflows/{MID}/pause")
    worker.look()
    assert worker.built()[1:] == [f"{SIDE} 2024-01-01"]
    accepted = {"accept_dependents": True, "accept_active": True}
    removed = client.delete(f"/datasets/{MID}", params=accepted)
    assert removed.is_success, removed.text
    assert worker.look() is not None
    assert show(client)["status"] == "RUNNING"
    worker.execute()
    assert worker.look() is None
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 2)
    assert done["error"] == f"'{MID}' was removed while its backfill was under way."


@pytest.mark.rule("34.11")
@pytest.mark.usefixtures("layers")
def test_a_dry_run_shows_the_order_and_starts_nothing(client: Client, worker: Worker) -> None:
    answer = start(client, dry_run=True, end="2024-01-01")
    assert answer.status_code == 200, answer.text
    assert [(one["dataset_name"], one["partition"]) for one in answer.json()["steps"]] == [
        (name, "2024-01-01") for name in (ROOT, MID, LOW, SIDE)
    ]
    assert worker.runs() == []


@pytest.mark.rule("34.12")
@pytest.mark.usefixtures("layers")
def test_parameters_are_those_of_the_requested_dataset(
    client: Client, worker: Worker, register: Register
) -> None:
    start(client, parameters={"limit": 5}, end="2024-01-01")
    worker.build()
    assert [run.conf["limit"] for run in worker.runs()] == [5, 100, 100, 100]
    register(
        SIDE,
        {
            "query_file:": f"depends_on: [{ROOT}]\nquery_file:",
            "    default: 100\n": "    default: 100\n  - name: must\n    type: string\n",
            'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': "",
        },
    )
    refused = start(client)
    assert refused.status_code == 422
    assert f"'{SIDE}' can't be built in this chain" in refused.json()["title"]


@pytest.mark.rule("34.6")
@pytest.mark.usefixtures("layers")
def test_a_repeated_request_starts_one_chain(client: Client) -> None:
    first, second = start(client, key="k"), start(client, key="k")
    assert first.json()["backfill_id"] == second.json()["backfill_id"] == ID
    assert second.status_code == 201


def listed(client: Client, dataset: str, **query: str) -> list[str]:
    answer = client.get("/backfills", params={"dataset": dataset, **query})
    assert answer.status_code == 200, answer.text
    return [one["backfill_id"] for one in answer.json()["items"]]


@pytest.mark.rule("34.15")
@pytest.mark.usefixtures("layers")
def test_a_chain_is_listed_for_each_of_its_datasets_while_it_runs_and_after_its_end(
    client: Client, worker: Worker
) -> None:
    assert start(client, MID).status_code == 201
    chain = f"{MID}_20240115_093045"
    assert [listed(client, name, active="true") for name in (MID, LOW, ROOT)] == [[chain], [chain], []]
    worker.build(MID)
    assert [listed(client, name) for name in (MID, LOW, ROOT)] == [[chain], [chain], []]
    assert listed(client, LOW, active="true") == []
    worker.clock.advance(60)
    assert start(client, LOW, with_downstream=False).status_code == 201
    own = f"{LOW}_{worker.clock.now():%Y%m%d_%H%M%S}"
    assert listed(client, LOW) == [own, chain]
    assert listed(client, MID) == [chain]


@pytest.mark.rule("34.15")
@pytest.mark.usefixtures("layers")
def test_who_may_not_see_a_dataset_of_a_chain_does_not_find_the_chain_at_another(
    services: Services, client: Client
) -> None:
    assert start(client).status_code == 201
    teams = {ROOT: "@finance", MID: "@data", SIDE: "@data", LOW: "@data"}
    for sees, count in ((frozenset({"@data"}), 0), (frozenset({"@data", "@finance"}), 1)):
        page = services.backfill_lookup.page(dataset=LOW, permitted=PermittedDatasets(sees, teams), limit=9)
        assert len(page.items) == count
