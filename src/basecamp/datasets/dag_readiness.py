"""Make Airflow load a spec, and check whether it has (specification 16.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import CANNOT_WAIT, DagDetails, DagImportError
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.takeovers import other_dag, place_of_dag
from basecamp.shared.clock import Clock
from basecamp.shared.waiting import Steps
from dataspec.contract import read_takeovers
from dataspec.errors import AirflowUnreachable, NotLoaded, Paused, TakenOver

POLL_SECONDS = 0.2
ASK_AGAIN_SECONDS = 5.0
"""A parse requested during another one may have read the store before the change."""
LOOK_FOR_ERRORS_SECONDS = 1.0
MAX_WAITING = 500
"""Maximum number of registrations that wait for Airflow on one replica."""
LOOKS_PER_SECOND = 50
PARSES_PER_SECOND = 10
"""Requests to Airflow in a second by all that wait, beyond which each one waits longer between two of its own."""
STORED = "The spec is stored as {}, but Airflow runs that DAG under this id, in place of the dataset."
PICKED_UP = (
    "The spec is stored as {}; Airflow will pick it up by itself. See whether it has with: dli workflow list"
)
PATIENCE_SECONDS = 2.0
"""How long to wait for an Airflow that does not answer."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    """The version of a dataset that Airflow is to load."""

    name: str
    key: str
    spec_hash: str
    since: datetime


class DagReadiness:
    """Waits until Airflow's DAG of a dataset is built from one version of its spec."""

    def __init__(self, gateway: AirflowGateway, dags: DagCache, clock: Clock) -> None:
        self._gateway = gateway
        self._dags = dags
        self._clock = clock
        self._waiting: set[object] = set()
        self._errors: list[DagImportError] = []
        self._errors_at = -math.inf

    def request(self, name: str) -> None:
        """Ask Airflow to parse a dataset's file now. Ignore failures: Airflow parses it within minutes anyway.

        A new dataset is in no known file yet; a parse of any file of the bundle loads it.
        """
        try:
            known = self._dags.known().value
            dag = known.get(name) or next((dag for dag in known.values() if not dag.is_stale), None)
            if dag is not None:
                self._gateway.request_parse(dag)
        except AirflowUnreachable:
            return

    def wait_problems(self) -> list[str]:
        """Return why runs can't wait for other datasets; nothing if they can, or if Airflow does not answer."""
        try:
            return [] if self._gateway.health().can_wait else [CANNOT_WAIT]
        except AirflowUnreachable:
            return []

    def is_loaded(self, name: str, spec_hash: str) -> bool:
        """Return whether Airflow's DAG is built from this version of the spec.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        return self._is_of(self._gateway.get_dag(name), spec_hash)

    def _is_of(self, found: DagDetails | None, spec_hash: str) -> bool:
        if found is None or found.dag.is_stale or found.loaded is None or not found.is_dataset:
            return False
        if found.loaded.spec_hash != spec_hash:
            return False
        self._dags.put(found.dag)
        return True

    def wait(
        self,
        name: str,
        key: str,
        spec_hash: str,
        *,
        since: datetime,
        seconds: float,
        is_current: Callable[[], bool],
    ) -> Steps[bool]:
        """Return True when Airflow has loaded this version, or False when it is not the current one any more.

        Args:
            name: The dataset.
            key: The spec's key in the store, which import errors name.
            spec_hash: The version.
            since: When the version was written; earlier import errors belong to other versions.
            seconds: The longest wait.
            is_current: Says whether Airflow is still to load this version.

        Raises:
            NotLoaded: When it has not by then, reports an import error, or too many registrations wait already.
            TakenOver: When another DAG has the dataset's id.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise _stored_but_not_awaited(key)
        token = object()
        self._waiting.add(token)
        try:
            return (yield from self._looks(_Awaited(name, key, spec_hash, since), seconds, is_current))
        finally:
            self._waiting.discard(token)

    def _looks(self, awaited: _Awaited, seconds: float, is_current: Callable[[], bool]) -> Steps[bool]:
        begun = self._clock.monotonic()
        asked = answered = begun
        problem: AirflowUnreachable | None = None
        self.request(awaited.name)
        while (now := self._clock.monotonic()) - begun < seconds:
            if problem is not None and now - answered >= PATIENCE_SECONDS:
                break
            if not is_current():
                return False
            try:
                if self._has(awaited):
                    return True
                if now - begun >= LOOK_FOR_ERRORS_SECONDS:
                    self._raise_import_error(awaited.name, awaited.key, awaited.since)
                if now - asked >= max(ASK_AGAIN_SECONDS, len(self._waiting) / PARSES_PER_SECOND):
                    asked = now
                    self.request(awaited.name)
                answered, problem = self._clock.monotonic(), None
            except AirflowUnreachable as error:
                problem = error
            yield min(max(POLL_SECONDS, len(self._waiting) / LOOKS_PER_SECOND), begun + seconds - now)
        raise _stored_but_not_loaded(awaited.key, self._clock.monotonic() - begun, problem)

    def _has(self, awaited: _Awaited) -> bool:
        """Return whether Airflow has loaded a version.

        Raises:
            TakenOver: When another DAG has the dataset's id.
        """
        found = self._gateway.get_dag(awaited.name)
        if not self._is_of(found, awaited.spec_hash) and (other := other_dag(found)) is not None:
            raise TakenOver(awaited.name, place_of_dag(other), lately=STORED.format(awaited.key))
        return self._is_of(found, awaited.spec_hash)

    def _import_errors(self) -> list[DagImportError]:
        """Return Airflow's import errors, read at most once a second for all that wait."""
        now = self._clock.monotonic()
        if now - self._errors_at >= LOOK_FOR_ERRORS_SECONDS:
            self._errors_at = now
            self._errors = self._gateway.import_errors()
        return self._errors

    def _raise_import_error(self, name: str, key: str, since: datetime) -> None:
        for error in self._import_errors():
            if (place := read_takeovers(error.stack_trace).get(name)) is not None:
                raise TakenOver(name, place, lately=STORED.format(key))
            if error.timestamp >= since and _is_about(error, name, key):
                raise NotLoaded(
                    "Airflow could not load this dataset.",
                    detail=f"The spec is stored as {key}. Airflow says:\n{_reason(error, name, key)}",
                )


def not_loaded(name: str) -> NotLoaded:
    """Build the error for a dataset without a DAG in Airflow."""
    return NotLoaded(
        "Airflow has not loaded this dataset yet.",
        detail=f"'{name}' is registered, but Airflow has no DAG of it. Try again in a few seconds; if it "
        "stays so, look at the import errors on Airflow's page.",
    )


def check_ready(found: DagDetails | None, name: str) -> None:
    """Check that a run of a dataset would start.

    Raises:
        NotLoaded: When Airflow has no DAG of it.
        Paused: When it is paused.
    """
    if found is None or found.dag.is_stale:
        raise not_loaded(name)
    if found.dag.is_paused:
        raise Paused(name)


def _is_about(error: DagImportError, name: str, key: str) -> bool:
    return key in error.filename or _speaks_of(error.stack_trace, name, key)


def _speaks_of(text: str, name: str, key: str) -> bool:
    return key in text or f"'{name}'" in text


def _reason(error: DagImportError, name: str, key: str) -> str:
    """Return the last line about a dataset. On Airflow 2 one import error has a paragraph for each dataset."""
    paragraphs = [part for part in error.stack_trace.split("\n\n") if _speaks_of(part, name, key)]
    trace = paragraphs[-1] if paragraphs else error.stack_trace
    return next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "no reason")


def _stored_but_not_awaited(key: str) -> NotLoaded:
    return NotLoaded(
        "The dataset is registered, and Airflow has not confirmed it yet.",
        detail=f"{MAX_WAITING} registrations wait for Airflow already. {PICKED_UP.format(key)}",
    )


def _stored_but_not_loaded(key: str, waited: float, problem: AirflowUnreachable | None) -> NotLoaded:
    reason = f"{problem.title} {problem.detail}\n" if problem else ""
    return NotLoaded(
        f"The dataset is registered, but Airflow has not loaded it within {waited:.0f} s.",
        detail=f"{reason}{PICKED_UP.format(key)}",
    )
