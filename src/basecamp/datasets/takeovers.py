"""Other DAGs under a dataset's id: the one that Airflow has now, or had in the last minutes.

Airflow keeps one DAG for each id: from the file that it parsed last. When another file defines
a DAG with a dataset's id, the factory leaves the dataset out within seconds (``docs/airflow.md``). Until
then each parse may change the owner of the id, so an observation counts for some minutes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import cycle, islice

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import AirflowDag, DagDetails, DagRun
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import DagCache
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.object_reader import ObjectReader
from dataspec.contract import place_of, read_takeovers
from dataspec.errors import StoreUnreachable, TakenOver
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_put
from dataspec.stored_document import Moment, StoredDocument, StoredPart

log = logging.getLogger(__name__)

KEY = "basecamp/takeovers.json"
COUNTS_FOR = timedelta(minutes=5)
"""How long a take-over counts after it was last seen: before the dataset's own DAG steps back, or where Airflow's
machines have no such DAG factory yet, the id may be the dataset's at one look and the other DAG's at the next."""
KEPT_FOR = timedelta(days=30)
"""How long the store keeps one, to tell runs of that DAG from the dataset's."""
WRITTEN_AGAIN = timedelta(minutes=1)
"""Shortest time between two writes of the same take-over."""
LOOK_SECONDS = 2.0
COST_FACTOR = 30
"""The pause after a look is this many times as long as the look."""
MAX_PAUSE_SECONDS = 60.0
ASKED_AT_ONCE = 50
"""Maximum number of DAGs requested by one look; the next look continues with the others."""
WRITE_ATTEMPTS = 5


class Takeover(StoredPart):
    """A DAG with a dataset's id that does not come from the DAG factory."""

    place: str
    """Its file, and its bundle on Airflow 3."""
    seen_at: Moment

    def lately(self) -> str:
        """Say when it was seen, and until when that counts."""
        until = self.seen_at + COUNTS_FOR
        return (
            f"Airflow had that DAG at {self.seen_at:%H:%M:%S} UTC. When two files define a DAG with one id, "
            f"Airflow has now one, now the other. Unless that DAG is seen again, runs may start from {until:%H:%M:%S} UTC on."
        )


class SeenTakeovers(StoredDocument):
    """The take-overs of the last weeks by dataset; one object in the store."""

    takeovers: Mapping[str, Takeover]


class Takeovers:
    """Finds the datasets that other DAGs have taken over. Safe to share between threads and replicas.

    Args:
        store: The store in which the replicas share take-overs.
        gateway: The Airflow that runs the datasets.
        specs: The specs in the store.
        dags: The datasets' DAGs as last listed.
        clock: The clock.
        objects: Notes a list that this replica can't read: of a newer format, each method that needs it raises
            NewerFormat; a damaged one is replaced by what this replica knows.
    """

    def __init__(
        self,
        store: Store,
        gateway: AirflowGateway,
        specs: CatalogCache,
        dags: DagCache,
        clock: Clock,
        *,
        objects: ObjectReader,
    ) -> None:
        self._objects = objects
        self._store = store
        self._gateway = gateway
        self._specs = specs
        self._dags = dags
        self._clock = clock
        self._lock = threading.Lock()
        self._stored: StoredObject | None = None
        self._document = SeenTakeovers(takeovers={})
        self._asked_last = 0
        self.loop = BackgroundLoop(
            "look for other DAGs under datasets' ids", self._turn, retry_seconds=LOOK_SECONDS
        )

    def check(self, name: str) -> DagDetails | None:
        """Return the DAG of a dataset; None if there is none.

        Raises:
            TakenOver: When Airflow has another DAG under this id, or had it in the last minutes.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        found = self._gateway.get_dag(name)
        other = other_dag(found)
        if other is not None:
            with suppress(StoreUnreachable):
                if name in self._specs.catalog().effective:
                    self._saw({name: place_of_dag(other)})
            raise TakenOver(name, place_of_dag(other))
        if (found is None or found.dag.is_stale) and (place := self._reported().get(name)):
            raise TakenOver(name, place)
        self._read()
        last = self.seen.get(name)
        if last is not None and self._counts(last):
            raise TakenOver(name, last.place, lately=last.lately())
        return found

    def lately(self) -> Mapping[str, Takeover]:
        """Return the current take-overs by dataset, as this replica knows them."""
        return {name: one for name, one in self.seen.items() if self._counts(one)}

    def _counts(self, one: Takeover) -> bool:
        return self._now() - one.seen_at < COUNTS_FOR

    def _now(self) -> datetime:
        """Return Airflow's time, which all replicas have in common."""
        return airflow_now(self._gateway, self._clock)

    @property
    def seen(self) -> Mapping[str, Takeover]:
        """The take-overs of the last weeks by dataset; the same object while nothing changes."""
        return self._document.takeovers

    def _turn(self) -> float:
        began = self._clock.monotonic()
        self.look()
        took = self._clock.monotonic() - began
        return min(max(LOOK_SECONDS, COST_FACTOR * took), MAX_PAUSE_SECONDS)

    def look(self) -> None:
        """Find and record the datasets whose id another DAG has now.

        Asks Airflow only for datasets that are not in the list of DAGs.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        names, listed = self._specs.catalog().effective, self._dags.known().value
        doubtful = sorted(name for name in names if not _is_listed(listed.get(name)))
        found = {name: other_dag(self._gateway.get_dag(name)) for name in self._next(doubtful)}
        places = {name: place_of_dag(dag) for name, dag in found.items() if dag is not None}
        if len(places) < len(found):
            reported = self._reported()
            places |= {name: reported[name] for name in found if name in reported and name not in places}
        self._saw(places)

    def ran(self, run: DagRun) -> None:
        """Record that another DAG's code ran in a run, if the DAG itself was not seen.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        now = self._now()
        if run.dag_id not in self.lately() and now - (run.end_date or now) < COUNTS_FOR:
            self._saw({run.dag_id: f"a file that was not seen, whose code ran in {run.run_id}"})

    def _reported(self) -> dict[str, str]:
        """Return the files of other DAGs by dataset, as the DAG factory reports them by import errors."""
        texts = (error.stack_trace for error in self._gateway.import_errors())
        return {name: place for text in texts for name, place in read_takeovers(text).items()}

    def _next(self, names: list[str]) -> Iterable[str]:
        """Return the names for this look; the next look continues after them."""
        if len(names) <= ASKED_AT_ONCE:
            return names
        start = self._asked_last % len(names)
        self._asked_last = start + ASKED_AT_ONCE
        return list(islice(cycle(names), start, start + ASKED_AT_ONCE))

    def _saw(self, places: Mapping[str, str]) -> None:
        """Record what was seen, unless it was recorded within the last minute."""
        for _ in range(WRITE_ATTEMPTS):
            self._read()
            now = self._now()
            news = {name: place for name, place in places.items() if self._is_news(name, place, now)}
            if not news:
                return
            kept = {name: one for name, one in self.seen.items() if now - one.seen_at < KEPT_FOR}
            came = {name: Takeover(place=place, seen_at=now) for name, place in news.items()}
            if self._write(dict(sorted((kept | came).items()))):
                for name, one in came.items():
                    log.warning("Another DAG has the id of the dataset %s: %s", name, one.place)
                return

    def _is_news(self, name: str, place: str, now: datetime) -> bool:
        known = self.seen.get(name)
        return known is None or known.place != place or now - known.seen_at >= WRITTEN_AGAIN

    def _read(self) -> None:
        known = self._stored
        # Outside the lock: threads must not wait for a slow store one after the other.
        stored = self._store.get(KEY, known=known)
        with self._lock:
            if stored is known:
                return
            if stored is None:
                self._stored, self._document = None, SeenTakeovers(takeovers={})
            elif found := self._objects.read_or_put_aside(SeenTakeovers.read, stored):
                self._stored, self._document = stored, found
            else:  # the next look reads what this replica, or another one, writes now
                try_put(self._store, KEY, self._document.body(), expected=stored.etag)

    def _write(self, seen: dict[str, Takeover]) -> bool:
        """Replace the store's object; return False if another replica did so first."""
        body = self._document.changed(takeovers=seen).body()
        if try_put(self._store, KEY, body, expected=etag_of(self._stored)) is None:
            return False
        self._read()
        return True


def other_dag(found: DagDetails | None) -> AirflowDag | None:
    """Return the DAG unless it is a dataset's, or stale."""
    return None if found is None or found.dag.is_stale or found.is_dataset else found.dag


def place_of_dag(dag: AirflowDag) -> str:
    """Return a DAG's file and bundle, in words."""
    return place_of(dag.file or "an unknown file", dag.bundle)


def _is_listed(dag: AirflowDag | None) -> bool:
    return dag is not None and not dag.is_stale
