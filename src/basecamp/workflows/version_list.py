"""A row for each version of a dataset (docs/sources.md, "The versions")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from basecamp.airflow.gateway import AirflowGateway, WrongCursor
from basecamp.airflow.models import PAGE_LIMIT, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dataset_names import DatasetNames
from basecamp.datasets.versions import LOADED_UNKNOWN, VersionsInUse
from basecamp.runs.records import RunRecords
from basecamp.shared.cursors import decode_cursor, encode_cursor
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.spec_storage import Release
from dataspec.catalog.version_archive import KeptVersions
from dataspec.catalog.version_history import VersionEntry, VersionHistory, VersionRecord, recorded
from dataspec.errors import AirflowUnreachable, AmbiguousVersion, DatasetNotFound, VersionNotFound
from dataspec.models import DatasetVersions, SourceType, VersionDetails, VersionInfo, WorkflowRun
from dataspec.spec.identity import check_name

LATE_HISTORY = "The versions from before the last upgrade are still being listed; some may be missing."


@dataclass(frozen=True, slots=True)
class _Row:
    """A version, by its newest entry in the history."""

    entry: VersionEntry
    file: SpecFile | None
    """The file that has this version now; None for a version that no source has."""

    @property
    def place(self) -> list[str]:
        return [self.entry.source or "", self.entry.spec_hash]


class VersionList:
    """Shows which versions of a dataset there are."""

    def __init__(
        self,
        specs: CatalogCache,
        archive: KeptVersions,
        history: VersionHistory,
        in_use: VersionsInUse,
        *,
        names: DatasetNames,
        gateway: AirflowGateway,
        records: RunRecords,
    ) -> None:
        self._specs = specs
        self._archive = archive
        self._history = history
        self._in_use = in_use
        self._names = names
        self._gateway = gateway
        self._records = records

    def of(self, name: str, *, limit: int, cursor: str | None = None) -> DatasetVersions:
        """Return a dataset's versions: the current ones, and a page of all.

        Args:
            name: The dataset, which may be removed from all sources.
            limit: The size of the page; 0 for the current versions alone.
            cursor: The cursor of an earlier page.

        Raises:
            DatasetNotFound: When there is no version of it.
            InvalidUsage: For a cursor of another list.
            StoreUnreachable: When the store does not answer.
        """
        after = decode_cursor(cursor, parts=2) if cursor else None
        current = self._current(name)
        if not limit:
            return current
        rows = _after(self._rows(name), after)
        page, rest = rows[:limit], rows[limit:]
        items, warnings = self._described(name, page, current)
        if not self._specs.known().value.ledger.has_history:
            warnings.append(LATE_HISTORY)
        more = encode_cursor(page[-1].place) if rest else None
        return replace(current, items=items, next_cursor=more, warnings=[*current.warnings, *warnings])

    def get(self, name: str, version: str) -> VersionDetails:
        """Return one version of a dataset.

        Args:
            name: The dataset.
            version: The first digits of the version's hash, or all.

        Raises:
            DatasetNotFound: When there is no version of the dataset.
            VersionNotFound: When none of its versions begins with these digits, or its content is not kept.
            AmbiguousVersion: When several do.
            StoreUnreachable: When the store does not answer.
        """
        row = self._find(name, version)
        current = self._current(name)
        [info], warnings = self._described(name, [row], current)
        release = self._release(name, version, row)
        return VersionDetails(
            **{field.name: getattr(info, field.name) for field in fields(info)},
            name=name,
            yaml=release.yaml.decode(),
            files=dict(release.files),
            warnings=[*current.warnings, *warnings],
        )

    def release(self, name: str, version: str) -> Release:
        """Return the content of one version of a dataset; the arguments and errors are those of :meth:`get`."""
        return self._release(name, version, self._find(name, version))

    def _current(self, name: str) -> DatasetVersions:
        try:
            return self._in_use.of(name)
        except DatasetNotFound:
            if not self._history.of(name):
                raise
            return DatasetVersions(name=name)

    def _find(self, name: str, version: str) -> _Row:
        rows = self._rows(name)
        if not rows:
            find_spec(self._specs.known().value, name)
        matching = [row for row in rows if row.entry.spec_hash.startswith(version.lower())]
        hashes = list(dict.fromkeys(row.entry.spec_hash for row in matching))
        if not hashes:
            raise VersionNotFound(name, version, list(dict.fromkeys(row.entry.spec_hash for row in rows)))
        if len(hashes) > 1:
            raise AmbiguousVersion(name, version, hashes)
        return matching[0]

    def _release(self, name: str, version: str, row: _Row) -> Release:
        if row.file is not None:
            return Release(row.file.yaml, row.file.files)
        release = self._archive.release(row.entry.spec_hash)
        if release is None:
            raise VersionNotFound(name, version, [])
        return release

    def _rows(self, name: str) -> list[_Row]:
        """Return a row for each version and source: the registered ones, then the others, the newest first."""
        registered = dict(_registered(self._specs.known().value, check_name(name)))
        newest: dict[tuple[str, SourceType | None, str], VersionEntry] = {}
        for entry in (*self._history.of(name), *registered):
            newest.setdefault(entry.version, entry)
        with_source = {spec_hash for _, source, spec_hash in newest if source is not None}
        files = {entry.version: file for entry, file in registered.items()}
        rows = [
            _Row(entry, files.get(entry.version))
            for entry in newest.values()
            if entry.source is not None or entry.spec_hash not in with_source
        ]
        return sorted(rows, key=lambda row: (row.file is not None, row.entry.at), reverse=True)

    def _described(
        self, name: str, rows: list[_Row], current: DatasetVersions
    ) -> tuple[list[VersionInfo], list[str]]:
        records = self._history.records(row.entry for row in rows)
        effective = self._specs.known().value.effective.get(name)
        runs, warnings = self._last_runs(name, current)
        loaded = current.airflow.spec_hash if current.airflow else None
        infos = []
        for row in rows:
            record = records[row.entry]
            if row.file is not None and record == VersionRecord():  # no check has recorded it yet
                _, record = recorded(name, row.file, None)
            infos.append(
                _with_run(
                    _info(
                        row,
                        record,
                        effective=row.file is not None and row.file is effective,
                        loaded=row.entry.spec_hash == loaded,
                    ),
                    runs.get(row.entry.spec_hash),
                )
            )
        return infos, warnings

    def _last_runs(self, name: str, current: DatasetVersions) -> tuple[Mapping[str, WorkflowRun], list[str]]:
        """Return the newest of the last runs by the hash of the version that it ran, and warnings."""
        if any(warning.endswith(LOADED_UNKNOWN) for warning in current.warnings):
            return {}, []
        try:
            if not self._names.among([name]).value:
                return {}, []
            page = self._gateway.list_runs(RunFilter(dag_id=name), limit=PAGE_LIMIT)
            runs = self._records.of([run for run in page.runs if run.dag_id == name])
        except AirflowUnreachable as error:
            return {}, [f"{error.title} The last run of each version is unknown."]
        return {run.spec_hash: run for run in reversed(runs) if run.spec_hash}, []


def _registered(catalog: Catalog, name: str) -> Iterator[tuple[VersionEntry, SpecFile]]:
    for source in SourceType:
        file = catalog.get(name, source)
        if file is not None:
            yield recorded(name, file, None)[0], file


def _after(rows: list[_Row], place: list[str] | None) -> list[_Row]:
    """Return the rows after a place.

    Raises:
        WrongCursor: When there is no such row.
    """
    if place is None:
        return rows
    places = [row.place for row in rows]
    if place not in places:
        raise WrongCursor
    return rows[places.index(place) + 1 :]


def _info(row: _Row, record: VersionRecord, *, effective: bool, loaded: bool) -> VersionInfo:
    entry, file = row.entry, row.file
    return VersionInfo(
        spec_hash=entry.spec_hash,
        source_type=entry.source,
        file=file.key if file else record.file,
        registered=file is not None,
        effective=effective,
        loaded=loaded,
        written_at=entry.at if record.is_exact else None,
        written_before=None if record.is_exact else entry.at,
        written_by=record.written_by,
        action=record.action,
        commit=record.commit,
    )


def _with_run(info: VersionInfo, run: WorkflowRun | None) -> VersionInfo:
    if run is None:
        return info
    at = run.started_at or run.created_at
    return replace(info, last_run_id=run.run_id, last_run_status=run.status, last_run_at=at)
