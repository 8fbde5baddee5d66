"""Rights to write a manual spec: every team that the write affects counts (specification 26.84)."""

from __future__ import annotations

from collections.abc import Iterator

from basecamp.access.principal import Principal, Role
from basecamp.access.refusals import not_of_your_teams, role_needed
from basecamp.datasets.dataset_teams import DatasetTeams
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.spec_storage import manual_key
from dataspec.models import SourceType
from dataspec.store.base import MISSING


class TeamRights:
    """Checks that a caller is an editor of all teams whose datasets a write to ``manual/`` affects."""

    def __init__(self, teams: DatasetTeams) -> None:
        self._teams = teams

    def check(self, caller: Principal, catalog: Catalog, name: str) -> None:
        """Check the rights to a dataset as it is now: its manual spec, code's, or its last one.

        Raises:
            Forbidden: When the caller is no editor of one of them.
        """
        sees_it = caller.may(Role.VIEWER, self._teams.of(catalog).get(name))
        for team in self._affected(catalog, name):
            if caller.may(Role.EDITOR, team):
                continue
            if sees_it:
                raise role_needed(caller, Role.EDITOR, team=team, everywhere=team is None)
            raise not_of_your_teams(caller, Role.EDITOR, "dataset", name)

    def is_new(self, catalog: Catalog, name: str) -> bool:
        """Return whether nothing is known of a name."""
        return not self._affected(catalog, name)

    def _affected(self, catalog: Catalog, name: str) -> set[str | None]:
        """Return the teams of a dataset and of the manual file under its key; None for an unknown one."""
        teams = {*_teams_of(catalog, name), *_team_at(catalog, manual_key(name))}
        known = self._teams.of(catalog)
        return teams or ({known[name]} if name in known else set())


def seen_etag(caller: Principal, catalog: Catalog, key: str) -> str | None:
    """Return the ETag of the file whose team was checked, which the write must find; None if no team matters.

    So no change of a team between the check and the write goes unnoticed.
    """
    if caller.may_everywhere(Role.EDITOR):
        return None
    return next((file.etag for file in catalog.files if file.key == key), MISSING)


def _teams_of(catalog: Catalog, name: str) -> Iterator[str | None]:
    for source in SourceType:
        usable = catalog.get(name, source)
        if usable is not None:
            yield _team(usable)
        elif any(file.source is source and file.name == name for file in catalog.invalid):
            yield None


def _team_at(catalog: Catalog, key: str) -> Iterator[str | None]:
    """Yield the team of a file, which may hold another dataset than its key says."""
    if any(file.key == key for file in catalog.files):
        usable = (*catalog.effective.values(), *catalog.overridden.values())
        yield _team(next((file for file in usable if file.key == key), None))


def _team(file: SpecFile | None) -> str | None:
    return file.spec.team if file and file.spec else None
