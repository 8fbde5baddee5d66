"""Refuse changes of manual specs that break what depends on what (specification 32.10 to 32.14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from basecamp.access.principal import Principal, Role
from basecamp.datasets.dataset_teams import DatasetTeams, PermittedDatasets
from basecamp.registration.after_write import is_in_code
from dataspec.catalog.effective import Catalog
from dataspec.errors import BreaksDependents, DependencyCycle, NoUpstreamClock, TableTaken, UnknownUpstream
from dataspec.problems import nearest
from dataspec.project.dependents import (
    broken_dependents,
    cycle_through,
    no_clock,
    same_table,
    unknown_upstream,
)
from dataspec.spec.model import DatasetSpec


class Surroundings:
    """Looks at the datasets around one that is registered, changed or removed."""

    def __init__(self, teams: DatasetTeams) -> None:
        self._teams = teams

    def check_written(
        self, caller: Principal, catalog: Catalog, spec: DatasetSpec, *, accepted: bool
    ) -> None:
        """Check a spec that is going to be the manual one; one that code overrides changes nothing.

        Args:
            caller: Who writes it; other teams' datasets are counted for them, not named.
            catalog: The specs of the store.
            spec: The spec.
            accepted: Whether the caller accepts what it does to other datasets.

        Raises:
            UnknownUpstream, DependencyCycle, NoUpstreamClock: When it can never be built on time.
            TableTaken: When another dataset builds its table.
            BreaksDependents: When another dataset would wait in vain, and that is not accepted.
        """
        if is_in_code(catalog, spec.name):
            return
        before = catalog.specs
        after = {**before, spec.name: spec}
        if unknown := unknown_upstream(spec, after):
            raise UnknownUpstream(
                spec.name, unknown, hint=nearest(unknown[0], self._seen(caller, catalog, before))
            )
        if cycle := cycle_through(spec.name, after):
            names = self._seen(caller, catalog, cycle)
            raise DependencyCycle([name if name in names else "…" for name in cycle])
        if reason := no_clock(spec.name, after):
            raise NoUpstreamClock(spec.name, reason)
        if other := same_table(spec, before.values()):
            seen = self._seen(caller, catalog, [other.name])
            raise TableTaken(spec.name, spec.target or spec.name, seen[0] if seen else None)
        self._check_dependents(caller, catalog, spec.name, after, accepted=accepted)

    def check_removed(self, caller: Principal, catalog: Catalog, name: str, *, accepted: bool) -> None:
        """Check the removal of a manual spec; that of one that code overrides changes nothing.

        Raises:
            BreaksDependents: When other datasets depend on it, and that is not accepted.
        """
        if not is_in_code(catalog, name):
            after = {other: spec for other, spec in catalog.specs.items() if other != name}
            self._check_dependents(caller, catalog, name, after, accepted=accepted)

    def _check_dependents(
        self,
        caller: Principal,
        catalog: Catalog,
        name: str,
        after: Mapping[str, DatasetSpec],
        *,
        accepted: bool,
    ) -> None:
        if accepted or not (broken := broken_dependents(name, catalog.specs, after)):
            return
        seen = self._seen(caller, catalog, (one.name for one in broken))
        told = [f"{one.name}: {one.reason}" for one in broken if one.name in seen]
        if hidden := len(broken) - len(told):
            told.append(f"and {hidden} of other teams" if told else f"{hidden} of other teams")
        raise BreaksDependents(name, told, seen, removed=name not in after)

    def _seen(self, caller: Principal, catalog: Catalog, names: Iterable[str]) -> list[str]:
        return PermittedDatasets.of(caller, Role.VIEWER, self._teams.of(catalog)).among(names)
