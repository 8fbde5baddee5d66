"""A program that is killed at each of its writes in turn, and what others find in the store then.

Run as `python tests/deaths.py FOLDER WORK`: it prints a line of JSON for each death. The work
is done in a forked process, by the server's own services on a folder, and ended by SIGKILL
right before or right after its first write, its second, and so on, until it comes through.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from basecamp.access.principal import open_principal
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.notifications.outbox import OutboxEntry
from basecamp.outages import request_budget
from basecamp.server import wiring
from basecamp.services import Services
from basecamp.shared.clock import SystemClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.errors import DatasetNotFound
from dataspec.spec.yaml_editor import ScheduleChanges
from dataspec.store import Store, open_store
from dataspec.store.base import MISSING

NAME = "sales.daily"
ANN = open_principal("ann")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a reader finds."""

    effective: str | None
    """The version that is effective: of the YAML and of its SQL."""
    overridden: str | None
    invalid: int
    retired: int
    notices: int
    objects: int
    """How many there are in `manual/`."""


@dataclass(frozen=True, kw_only=True)
class Death:
    """One death of the program, and what was found after it."""

    died: bool
    found: Look
    checked: Look
    """After the next check of another server."""
    repeated: Look
    """After the work was done again, to its end."""


class Killing:
    """A store that kills its process right before or right after one of its writes."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store = store
        self._left = at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        return str(self._counted(lambda: self._store.put(key, body, expected=expected)))

    def delete(self, key: str, *, expected: str) -> None:
        self._counted(lambda: self._store.delete(key, expected=expected))

    def _counted(self, write: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = write()
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def candidate(version: str) -> SubmittedSpec:
    channel = '{type: slack, channel: "#told"}'
    yaml = (
        f"name: {NAME}\ntype: Dataset\nowner: ann@example.com\ndescription: {version}\nquery_file: q.sql\n"
        f'schedule: {{cron: "0 9 * * *", notifications: {{on_source_change: [{channel}]}}}}\n'
    )
    return SubmittedSpec(caller=ANN, yaml=yaml, files={"q.sql": f"select '{version}'"})


def services_on(store: Any) -> Services:
    airflow = MemoryAirflow()
    dags = MemoryDags(airflow, store, SystemClock().now)
    airflow.load("earlier.dataset", tags=["source:manual"])
    airflow.on_parse = lambda _dag: dags.refresh()
    return wiring.build_services(store, airflow, SystemClock())


def register(store: Any, version: str) -> None:
    run_through(
        services_on(store).registration.register(NAME, candidate(version), accept_override=True),
        SystemClock(),
    )


def deploy(store: Store) -> None:
    """Copy a spec into code/, as CI/CD does."""
    spec = candidate("code")
    for key, text in (("code/q.sql", spec.files["q.sql"]), (f"code/{NAME}.yaml", spec.yaml)):
        store.put(key, text.encode(), expected=MISSING)


def withdraw(store: Store) -> None:
    """Remove the spec from code/."""
    for key in (f"code/{NAME}.yaml", "code/q.sql"):
        stored = store.get(key)
        if stored is not None:
            store.delete(key, expected=stored.etag)


def overridden(store: Store) -> None:
    register(store, "one")
    deploy(store)


def released(store: Store) -> None:
    overridden(store)
    run_through(services_on(store).check.sync(), SystemClock())
    withdraw(store)


def sync(store: Any) -> None:
    run_through(services_on(store).check.sync(), SystemClock())


def update(store: Any) -> None:
    run_through(
        services_on(store).changes.update(NAME, ScheduleChanges(cron="0 21 * * *"), caller=ANN), SystemClock()
    )


def unregister(store: Any) -> None:
    try:
        run_through(services_on(store).changes.unregister(NAME, caller=ANN), SystemClock())
    except DatasetNotFound:
        return  # it is gone, as it was to be


WORK: dict[str, tuple[Callable[[Store], None], Callable[[Any], None]]] = {
    "register": (lambda _: None, lambda store: register(store, "one")),
    "replace": (lambda store: register(store, "one"), lambda store: register(store, "two")),
    "update": (lambda store: register(store, "one"), update),
    "unregister": (lambda store: register(store, "one"), unregister),
    "override": (overridden, sync),
    "release": (released, sync),
}
"""What is there before, and the work."""


def look(store: Store) -> Look:
    catalog = CatalogReader(store, MemorySpecCache()).read()
    outbox = store.get_many([info.key for info in store.list("basecamp/outbox/")]).values()
    return Look(
        effective=_version(catalog.effective.get(NAME)),
        overridden=_version(catalog.overridden.get(NAME)),
        invalid=len(catalog.invalid),
        retired=len(catalog.retired),
        notices=len([OutboxEntry.read(stored) for stored in outbox]),
        objects=len(list(store.list("manual/"))),
    )


def _version(file: Any) -> str | None:
    """Return the version, or both where YAML and SQL are of two."""
    if file is None:
        return None
    sql = next(iter(file.files.values())).split("'")[1]
    cron = "" if file.spec.schedule.cron == "0 9 * * *" else f" at {file.spec.schedule.cron}"
    return f"{sql}{cron}" if file.spec.description == sql else f"{file.spec.description} with {sql}"


def die(folder: Path, work: str, at: int, *, after: bool) -> Death:
    shutil.rmtree(folder, ignore_errors=True)
    store = open_store(str(folder))
    prepare, act = WORK[work]
    prepare(store)
    child = os.fork()
    if child == 0:
        request_budget._CALLS = ThreadPoolExecutor()  # the parent's threads are not the child's
        act(Killing(store, at, after=after))
        os._exit(0)
    died = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    found = look(store)
    sync(store)
    checked = look(store)
    act(store)
    return Death(died=died, found=found, checked=checked, repeated=look(store))


def main() -> None:
    # SQL is read by processes of their own, which a fork does not have.
    no_warnings = SimpleNamespace(
        lineage=lambda *_: SimpleNamespace(warnings=[]), check_materialization=lambda *_: None
    )
    vars(wiring)["SpecSql"] = lambda *_, **__: no_warnings
    folder, work = Path(sys.argv[1]), sys.argv[2]
    for at in count(1):
        deaths = [die(folder, work, at, after=after) for after in (False, True)]
        for death in deaths:
            sys.stdout.write(json.dumps(asdict(death)) + "\n")
        if not any(death.died for death in deaths):
            return


if __name__ == "__main__":
    main()
