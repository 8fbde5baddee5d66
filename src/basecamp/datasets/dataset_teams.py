"""The teams of datasets, and the datasets for which a caller has a role (specification 26.22)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from basecamp.access.principal import Principal, Role
from basecamp.datasets.catalog_cache import CatalogCache
from dataspec.catalog.effective import Catalog


class DatasetTeams:
    """Knows the team of each dataset: that of its effective spec, or of its last one. Safe to share between threads."""

    def __init__(self, specs: CatalogCache) -> None:
        self._specs = specs
        self._made: tuple[Catalog, Mapping[str, str | None]] | None = None

    def known(self, *, fresh: bool = False) -> Mapping[str, str | None]:
        """Return the teams by dataset, as they were some seconds ago; read the store again if ``fresh``.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        return self.of(self._specs.catalog(fresh=True) if fresh else self._specs.known().value)

    def of(self, catalog: Catalog) -> Mapping[str, str | None]:
        """Return the teams by dataset according to a catalog."""
        made = self._made
        if made is None or made[0] is not catalog:
            made = self._made = catalog, _teams(catalog)
        return made[1]


def _teams(catalog: Catalog) -> dict[str, str | None]:
    """Return the teams by dataset; a spec that was never usable has none that anybody could rely on."""
    teams: dict[str, str | None] = {file.name: None for file in catalog.invalid if file.name}
    for known in (catalog.ledger.removed, catalog.ledger.entries):
        teams |= {name: one.team for name, one in known.items()}
    for files in (catalog.retired, catalog.effective):
        teams |= {name: file.spec.team for name, file in files.items() if file.spec}
    return teams


@dataclass(frozen=True, slots=True)
class PermittedDatasets:
    """The datasets for which a caller has a role, at the time of a request."""

    teams: frozenset[str] | None = None
    """The teams whose datasets they are; None for all datasets."""
    by_name: Mapping[str, str | None] = field(default_factory=dict, compare=False, repr=False)
    """The teams of all datasets, as of the request; not needed if all datasets are permitted."""

    @classmethod
    def of(cls, caller: Principal, role: Role, by_name: Mapping[str, str | None]) -> PermittedDatasets:
        """Return the datasets for which a caller has a role, or a higher one."""
        return cls(caller.teams_for(role), by_name)

    def __contains__(self, name: object) -> bool:
        """Return whether a dataset is permitted; with teams, only one that is known and belongs to one of them."""
        return self.teams is None or self.by_name.get(str(name)) in self.teams

    @property
    def are_all(self) -> bool:
        """Whether every dataset is permitted, also those that don't exist yet."""
        return self.teams is None

    def among(self, names: Iterable[str]) -> list[str]:
        """Return the permitted ones of some names."""
        return [name for name in names if name in self]


EVERY_DATASET = PermittedDatasets()
"""For work that no caller has requested."""
