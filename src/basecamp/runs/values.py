"""The parameters and the partition of runs, each by the spec that it ran (specification 30.40)."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from typing import NamedTuple

from cachetools import FIFOCache, TTLCache

from basecamp.airflow.models import DagRun
from basecamp.datasets.catalog_cache import CatalogCache
from dataspec.catalog.effective import Catalog, SpecFile, clocked
from dataspec.catalog.version_archive import KeptVersions
from dataspec.contract import stored_interval, values_of_run
from dataspec.errors import DliError, InvalidParameters, InvalidSpec, StoreUnreachable
from dataspec.parameters import EXECUTION_DATE
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import RunValues, resolve_partition

MAX_VALUES = 20_000
"""Maximum number of runs whose values are cached, some 2 KB each."""
MAX_PAST_SPECS = 2_000
"""Maximum number of specs that are no longer effective and are cached, some 10 KB each."""
MISSING_SECONDS = 60.0
"""How long a version that is not in the archive is not looked for again."""


class _Ran(NamedTuple):
    """A version that is no longer effective."""

    spec_hash: str
    spec: DatasetSpec


class ValuesOfRuns:
    """Resolves runs by the specs that they ran: the effective one may have another schedule by now.

    All of it is cached: neither a run's conf nor a version of a spec ever changes.
    """

    def __init__(self, specs: CatalogCache, kept: KeptVersions) -> None:
        self._specs = specs
        self._kept = kept
        self._values: FIFOCache[Hashable, RunValues] = FIFOCache(MAX_VALUES)
        self._past: FIFOCache[str, _Ran] = FIFOCache(MAX_PAST_SPECS)
        self._missing: TTLCache[str, bool] = TTLCache(MAX_PAST_SPECS, MISSING_SECONDS)
        self._lock = threading.Lock()

    def of(
        self, runs: Collection[DagRun], ran: Mapping[tuple[str, str], str]
    ) -> dict[tuple[str, str], RunValues]:
        """Return the values of runs, without those that have no spec or whose parameters don't fit it.

        Args:
            runs: The runs.
            ran: The hash of the spec that each run's last attempt ran. A run that has not started, or whose version
                is not in the archive any more, is resolved by the effective spec.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        specs = self._specs_that(runs, ran)
        found = {run.key: self._values_of(run, specs[run.key]) for run in runs}
        return {key: values for key, values in found.items() if values is not None}

    def partitions(
        self, runs: Collection[DagRun], ran: Mapping[tuple[str, str], str]
    ) -> dict[tuple[str, str], tuple[Partition | None, Grid]]:
        """Return the partition that each run builds, and those of its schedule, without runs that have no spec.

        Args:
            runs: The runs.
            ran: As for :meth:`of`.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        found = self._specs_that(runs, ran)
        specs = ((run, one.spec) for run in runs if (one := found[run.key]))
        return {run.key: (partition_of(spec, run), Grid.of(spec.schedule)) for run, spec in specs if spec}

    def _specs_that(
        self, runs: Collection[DagRun], ran: Mapping[tuple[str, str], str]
    ) -> dict[tuple[str, str], _Ran | SpecFile | None]:
        """Return the spec by which each run is resolved."""
        catalog = self._specs.known().value
        wanted = {(run.dag_id, ran[run.key]) for run in runs if run.key in ran}
        specs = self._specs_of(wanted, catalog)
        return {run.key: specs.get(ran.get(run.key, "")) or catalog.get(run.dag_id) for run in runs}

    def _values_of(self, run: DagRun, ran: _Ran | SpecFile | None) -> RunValues | None:
        if ran is None or ran.spec is None:
            return None
        key = (*run.key, run.run_after, ran.spec_hash, Grid.of(ran.spec.schedule))
        with self._lock:
            values = self._values.get(key)
        if values is None:
            try:
                values = values_by(ran.spec, run)
            except DliError:
                return None
            with self._lock:
                self._values[key] = values
        return values

    def _specs_of(
        self, wanted: Collection[tuple[str, str]], catalog: Catalog
    ) -> Mapping[str, _Ran | SpecFile]:
        """Return the specs of versions, by their hashes; only past ones are read from the archive."""
        sources = (catalog.effective, catalog.overridden, catalog.retired)
        files = [file for name, _ in wanted for source in sources if (file := source.get(name))]
        found: dict[str, _Ran | SpecFile] = {file.spec_hash: file for file in files if file.spec_hash}
        with self._lock:
            found |= {key: spec for _, key in wanted if key not in found and (spec := self._past.get(key))}
            unknown = {key for _, key in wanted if key not in found and key not in self._missing}
        return found | self._read(unknown, catalog) if unknown else found

    def _read(self, spec_hashes: Collection[str], catalog: Catalog) -> dict[str, _Ran]:
        try:
            releases = self._kept.releases(spec_hashes)
        except StoreUnreachable:
            return {}
        found: dict[str, _Ran] = {}
        for spec_hash, release in releases.items():
            with suppress(InvalidSpec):  # it was valid for an older version of this program
                spec = clocked(parse_spec(release.yaml, file=""), catalog.effective)
                found[spec_hash] = _Ran(spec_hash, spec)
        with self._lock:
            self._past.update(found)
            self._missing.update(dict.fromkeys(set(spec_hashes) - found.keys(), True))
        return found


def values_by(spec: DatasetSpec, run: DagRun) -> RunValues:
    """Return a run's parameters and partition by a spec.

    Raises:
        InvalidParameters: When its parameters don't fit the spec.
    """
    interval = run.data_interval_start, run.data_interval_end
    return values_of_run(spec, run.conf, run_type=run.run_type, interval=interval)


def partition_of(spec: DatasetSpec, run: DagRun) -> Partition | None:
    """Return the partition that a run builds by a spec, whatever its other parameters are; None if it builds none."""
    interval = run.data_interval_start, run.data_interval_end
    try:
        return resolve_partition(spec, run.conf.get(EXECUTION_DATE), stored_interval(run.run_type, interval))
    except InvalidParameters:  # of another version of the spec
        return None
