"""Names of datasets: registered ones, and removed ones whose DAG Airflow still has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.shared.last_known import ValueWithWarnings
from dataspec.errors import DatasetNotFound
from dataspec.problems import nearest


class DatasetNames:
    """Knows the datasets' names; asks Airflow for its DAGs only when a name is unknown.

    The DAG of a dataset stays one, so an old list of DAGs is good enough.
    """

    def __init__(self, specs: CatalogCache, dags: DagCache) -> None:
        self._specs = specs
        self._dags = dags

    def among(self, names: Iterable[str]) -> ValueWithWarnings[frozenset[str]]:
        """Return the names that are datasets.

        Raises:
            AirflowUnreachable: When a name is unknown and Airflow has never answered.
            StoreUnreachable: When the store does not answer, and never did.
        """
        wanted, catalog = frozenset(names), self._specs.known()
        unknown = wanted - catalog.value.effective.keys() - self._dags.last_known.keys()
        if not unknown:
            return ValueWithWarnings(wanted, catalog.warnings)
        dags = self._dags.known()
        return ValueWithWarnings(wanted - (unknown - dags.value.keys()), (*catalog.warnings, *dags.warnings))

    def all(self) -> frozenset[str]:
        """Return every known name.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        return frozenset(self._specs.known().value.effective) | frozenset(self._dags.last_known)

    def check(self, name: str, permitted: PermittedDatasets) -> None:
        """Check that a name is that of a dataset which the caller may see.

        Raises:
            DatasetNotFound: When it is not, with the nearest name.
            AirflowUnreachable: When the name is unknown and Airflow has never answered.
            StoreUnreachable: When the store does not answer, and never did.
        """
        if not (name in permitted and self.among([name]).value):
            known = permitted.among(self.all())
            raise DatasetNotFound(name, hint=nearest(name, known), is_suggestion=True)


def matches_any(name: str, wanted: Sequence[str]) -> bool:
    """Return whether a dataset's name fits any of the names and patterns with ``*``; True if there are none."""
    return not wanted or any(matches_name(name, one) for one in wanted)


def matches_name(name: str, wanted: str) -> bool:
    """Return whether a dataset's name equals the wanted one, or fits its pattern with ``*``."""
    return (
        name == wanted
        if "*" not in wanted
        else fnmatchcase(name, wanted.replace("[", "[[]").replace("?", "[?]"))
    )
