"""Registered specs, as the API shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.spec_sql import SpecSql
from basecamp.outages.request_budget import map_within_budget
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import ListPage
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.errors import AirflowUnreachable
from dataspec.models import LOADING_UNKNOWN, RegisteredDataset, SourceType

CHECKERS = 8
"""Maximum number of specs of a page that Airflow is asked about at once."""


class RegisteredSpecs:
    """Shows registered specs, with what their SQL reads and writes."""

    def __init__(self, specs: CatalogCache, readiness: DagReadiness, sql: SpecSql) -> None:
        self._specs = specs
        self._readiness = readiness
        self._sql = sql
        self._seen_loaded: dict[str, str] = {}

    def get(self, name: str, source: SourceType | None = None) -> RegisteredDataset:
        """Return a dataset's effective spec, or that of one source.

        Raises:
            DatasetNotFound: When there is none.
            InvalidSpec: When the dataset's only spec can't be used.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._specs.known()
        file = find_spec(catalog.value, name, source)
        return self._with_tables(next(self._described([file], catalog.value, catalog.warnings)), file)

    def manual_etag(self, name: str) -> str | None:
        """Return the ETag of a dataset's manual spec, effective or overridden; None if there is none."""
        catalog = self._specs.known().value
        file = catalog.get(name, SourceType.MANUAL)
        return file.etag if file else None

    def page(
        self,
        source: SourceType | None = None,
        *,
        permitted: PermittedDatasets = EVERY_DATASET,
        limit: int = 100,
        cursor: str | None = None,
    ) -> ListPage[RegisteredDataset]:
        """Return the usable registered specs of the permitted datasets by name, code before manual.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
            InvalidUsage: For a cursor of another list.
        """
        after = decode_cursor(cursor, parts=2) if cursor else None
        catalog = self._specs.known()
        usable = (*catalog.value.effective.values(), *catalog.value.overridden.values())
        wanted = (file for file in usable if source in {None, file.source} and file.name in permitted)
        files = sorted(wanted, key=_place)
        files = [file for file in files if after is None or _place(file) > after]
        more = encode_cursor(_place(files[limit - 1])) if len(files) > limit else None
        items = list(self._described(files[:limit], catalog.value, ()))
        warnings = dict.fromkeys((*catalog.warnings, *(text for item in items for text in item.warnings)))
        return ListPage(items=items, next_cursor=more, warnings=tuple(warnings))

    def _described(
        self, files: Sequence[SpecFile], catalog: Catalog, warnings: Sequence[str]
    ) -> Iterator[RegisteredDataset]:
        with ThreadPoolExecutor(CHECKERS) as checkers:
            states = map_within_budget(checkers, lambda file: self._is_loaded(file, catalog), files)
            for file, (loaded, problem) in zip(files, states, strict=True):
                yield RegisteredDataset(
                    name=file.name or "",
                    source_type=file.source,
                    file=file.key,
                    etag=file.etag,
                    spec_hash=file.spec_hash or "",
                    effective=catalog.effective.get(file.name or "") is file,
                    loaded=loaded,
                    yaml=file.yaml.decode("utf-8", "replace"),
                    files=dict(file.files),
                    warnings=[*warnings, *([problem] if problem else [])],
                )

    def _is_loaded(self, file: SpecFile, catalog: Catalog) -> tuple[bool, str | None]:
        """Return whether Airflow has this version, and why that is unknown. A loaded version stays loaded until the next one."""
        name, spec_hash = file.name or "", file.spec_hash or ""
        if catalog.effective.get(name) is not file:
            return False, None
        if self._seen_loaded.get(name) != spec_hash:
            try:
                if not self._readiness.is_loaded(name, spec_hash):
                    return False, None
            except AirflowUnreachable as error:
                return False, f"{error.title} {LOADING_UNKNOWN}"
            self._seen_loaded[name] = spec_hash
        return True, None

    def _with_tables(self, dataset: RegisteredDataset, file: SpecFile) -> RegisteredDataset:
        """Add the tables that a dataset's SQL reads and writes. Too slow for a list."""
        if file.spec is None:
            return dataset
        lineage = self._sql.lineage(file.spec, file)
        reads, writes = ([use.name for use in uses] for uses in (lineage.reads, lineage.writes))
        warnings = [*dataset.warnings, *lineage.warnings]
        if lineage.unknown and not (reads or writes):
            warnings.append(f"The tables that the SQL reads and writes are not known: {lineage.unknown[0]}")
        return replace(dataset, reads=reads, writes=writes, warnings=warnings)


def _place(file: SpecFile) -> list[str]:
    return [file.name or "", file.source]
