"""Measure runs that wait for other datasets: how soon one goes on, and what the triggerer takes meanwhile.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date. Its arguments are other
numbers of waiting runs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from commands import machine
from server import Server, deferred, get, install_airflow, running, until

from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.contract import CONF_KEY, WAIT_KEY
from dataspec.store import open_store
from postgres import Postgres, postgres_server
from stacks import command_of, family_of

WAITING = (1, 100, 500)
ROUNDS = 3
CPU_SECONDS = 30.0
SETTLING_SECONDS = 45
"""In which the triggerer takes new runs, reads what they wait for, and at first builds the API that it reads from."""
UP, DOWN, NEVER, IDLE = "bench.up", "bench.down", "bench.never", "bench.idle"
SPEC = """\
name: {name}
type: Dataset
owner: bench@example.com
query_statement: select 1
parameters: [{{name: execution_date, type: date}}]
schedule: {{cron: "0 0 * * *", timezone: Pacific/Pago_Pago}}
depends_on: {upstream}
"""
FIRST = datetime.now(UTC) + timedelta(days=10)
"""Partitions from here on are due after the registration, so they are waited for."""

_COPIES = """\
begin;
create temporary table original as
    select dag_run.id as run, trigger_id, dag_id, run_id from task_instance join dag_run using (dag_id, run_id)
    where dag_id = '{dag_id}' and task_instance.state = 'deferred' limit 1;
create temporary table numbers as select generate_series({first}, {last}) as number;
insert into public.trigger
    select (jsonb_populate_record(null::public.trigger,
        to_jsonb(one) || jsonb_build_object('id', 100000 + number, 'triggerer_id', null))).*
    from public.trigger one join original on one.id = trigger_id, numbers;
insert into dag_run
    select (jsonb_populate_record(null::dag_run, to_jsonb(one) || jsonb_build_object(
        'id', 100000 + number, 'run_id', one.run_id || '_' || number,
        'logical_date', one.logical_date - number * interval '1 s'))).*
    from dag_run one join original on one.id = original.run, numbers;
insert into task_instance
    select (jsonb_populate_record(null::task_instance, to_jsonb(one) || jsonb_build_object(
        'id', gen_random_uuid(), 'run_id', one.run_id || '_' || number,
        'trigger_id', case when one.trigger_id is null then null else 100000 + number end))).*
    from task_instance one join original using (dag_id, run_id), numbers;
commit;
"""


def main() -> None:
    """Measure and print."""
    counts = tuple(map(int, sys.argv[1:])) or WAITING
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    install_airflow()
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, postgres_server() as server:
        home, database = Path(folder) / "home", server.fresh()
        for name, upstream in ((UP, ""), (DOWN, UP), (NEVER, ""), (IDLE, NEVER)):
            yaml = SPEC.format(name=name, upstream=f"[{upstream}]").encode()
            write_release(open_store(str(home / "store")), manual_key(name), Release(yaml, {}))
        with running(home, 0, database) as basecamp:
            until(lambda: get(f"{basecamp.airflow_url}/api/v2/dags?limit=1")["total_entries"] == 4)
            print(
                "| waiting | from the upstream's end to the first statement, median and highest | triggerer, of a core |"
            )
            print("| --- | --- | --- |")
            for row in measured(basecamp, database, counts):
                print(row, flush=True)


def measured(basecamp: Server, database: Postgres, counts: tuple[int, ...]) -> Iterator[str]:
    """Yield a row of the table for each number of waiting runs."""
    yield f"| 0 | - | {triggerer_share(basecamp):.1f} % |"
    start(basecamp, IDLE, FIRST, wait=True)
    until(lambda: deferred(basecamp, IDLE) == 1)
    there, day = 1, FIRST
    for count in counts:
        if count > there:
            database.ask(_COPIES.format(dag_id=IDLE, first=there, last=count - 1))
            there = count
        time.sleep(SETTLING_SECONDS)
        share = triggerer_share(basecamp)
        took = []
        for _ in range(ROUNDS):
            day += timedelta(days=1)
            took.append(went_on(basecamp, day))
        yield f"| {count} | {statistics.median(took):.1f} s, {max(took):.1f} s | {share:.1f} % |"


def went_on(basecamp: Server, day: datetime) -> float:
    """Let a run wait, then build what it waits for; return the seconds until its first statement."""
    waiting = start(basecamp, DOWN, day, wait=True)
    until(lambda: deferred(basecamp, DOWN) == 1)
    time.sleep(3)
    built = start(basecamp, UP, day, wait=False)
    until(lambda: task(basecamp, DOWN, waiting)["state"] == "success")
    end = datetime.fromisoformat(task(basecamp, UP, built)["end_date"])
    return (first_statement(basecamp, waiting) - end).total_seconds()


def start(basecamp: Server, name: str, day: datetime, *, wait: bool) -> str:
    """Start a run by Airflow's API; return its id."""
    now = datetime.now(UTC)
    conf = {"execution_date": f"{day:%Y-%m-%d}", CONF_KEY: {"run_type": "adhoc", WAIT_KEY: wait}}
    body = {"dag_run_id": f"{name}_{now:%Y%m%d_%H%M%S}", "logical_date": now.isoformat(), "conf": conf}
    address = f"{basecamp.airflow_url}/api/v2/dags/{name}/dagRuns"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["dag_run_id"])


def task(basecamp: Server, name: str, run_id: str) -> dict[str, Any]:
    """Return the task of a run that builds."""
    found: dict[str, Any] = get(
        f"{basecamp.airflow_url}/api/v2/dags/{name}/dagRuns/{run_id}/taskInstances/run"
    )
    return found


def first_statement(basecamp: Server, run_id: str) -> datetime:
    """Return when a run sent its first statement to the engine."""
    path = f"/api/v2/dags/{DOWN}/dagRuns/{run_id}/taskInstances/run/logs/1?full_content=true"
    events = get(f"{basecamp.airflow_url}{path}")["content"]
    sent = next(event for event in events if str(event.get("event", "")).startswith("statement '"))
    return datetime.fromisoformat(sent["timestamp"])


def triggerer_share(basecamp: Server) -> float:
    """Return the share of a core that the triggerer's processes take, in percent."""
    state = json.loads((basecamp.home / "dev.json").read_text())
    processes = [pid for pid in family_of(state["pid"]) if "airflow triggerer" in command_of(pid)]
    before = sum(map(processor_seconds, processes))
    time.sleep(CPU_SECONDS)
    return 100 * (sum(map(processor_seconds, processes)) - before) / CPU_SECONDS


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
