"""A dataset's versions side by side: manual, code, and what Airflow runs."""

from __future__ import annotations

from typing import Any

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.shared.last_known import ValueWithWarnings
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.spec_storage import manual_key
from dataspec.catalog.version_archive import KeptVersions
from dataspec.contract import LoadedSpec
from dataspec.errors import AirflowUnreachable, StoreUnreachable
from dataspec.models import DatasetVersions, SourceType, SpecVersion
from dataspec.spec.identity import check_name
from dataspec.store import Store
from dataspec.store.base import MISSING, etag_of

LOADED_UNKNOWN = "The version that Airflow runs is unknown."
"""The end of the warning while Airflow does not answer."""


class VersionsInUse:
    """Finds the versions of a dataset that are in use."""

    def __init__(
        self, store: Store, specs: CatalogCache, kept: KeptVersions, gateway: AirflowGateway
    ) -> None:
        self._store = store
        self._specs = specs
        self._kept = kept
        self._gateway = gateway

    def of(self, name: str) -> DatasetVersions:
        """Return a dataset's versions.

        Raises:
            DatasetNotFound: When no source has it, and Airflow has no DAG of it.
            StoreUnreachable: When the store does not answer, and never did.
        """
        known = self._current(name)
        catalog, warnings = known.value, list(known.warnings)
        loaded = None
        try:
            details = self._gateway.get_dag(check_name(name))
            loaded = details.loaded if details and details.is_dataset and not details.dag.is_stale else None
        except AirflowUnreachable as error:
            warnings.append(f"{error.title} {LOADED_UNKNOWN}")
        manual, code = (_in_source(catalog, name, source) for source in (SourceType.MANUAL, SourceType.CODE))
        if not (manual or code or loaded):
            find_spec(catalog, name)
        return DatasetVersions(
            name=name,
            manual=manual,
            code=code,
            airflow=self._loaded(catalog, loaded) if loaded else None,
            warnings=warnings,
        )

    def _current(self, name: str) -> ValueWithWarnings[Catalog]:
        """Return the catalog, listed again if another replica has changed the manual spec meanwhile.

        A caller writes on the condition of the ETag that it sees here.
        """
        known = self._specs.known()
        key = manual_key(check_name(name))
        seen = next((file.etag for file in known.value.files if file.key == key), MISSING)
        try:
            if known.warnings or etag_of(self._store.get(key)) == seen:
                return known
            return ValueWithWarnings(self._specs.catalog(fresh=True))
        except StoreUnreachable:
            return known

    def _loaded(self, catalog: Catalog, loaded: LoadedSpec) -> SpecVersion:
        in_use = (*catalog.effective.values(), *catalog.overridden.values(), *catalog.retired.values())
        file = next((file for file in in_use if file.spec_hash == loaded.spec_hash), None)
        kept = None if file else self._kept.release(loaded.spec_hash)
        yaml, files = (file.yaml, file.files) if file else (kept.yaml, kept.files) if kept else (None, {})
        return SpecVersion(
            source_type=SourceType(loaded.source),
            file=loaded.key,
            spec_hash=loaded.spec_hash,
            yaml=yaml.decode() if yaml is not None else None,
            files=dict(files),
            **_written(file),
        )


def _in_source(catalog: Catalog, name: str, source: SourceType) -> SpecVersion | None:
    """Return a source's current spec, even an invalid one."""
    usable = catalog.get(name, source)
    broken = [file for file in catalog.invalid if file.source is source and file.name == name]
    at_place = next((file for file in broken if usable is None or file.key == usable.key), None)
    file: SpecFile | None = at_place or usable
    if file is None:
        return None
    return SpecVersion(
        source_type=source,
        file=file.key,
        spec_hash=file.spec_hash if file.error is None else None,
        yaml=file.yaml.decode("utf-8", "replace"),
        files=dict(file.files),
        error=file.error.detail if file.error else None,
        **_written(file),
    )


def _written(file: SpecFile | None) -> dict[str, Any]:
    """Return who wrote a version that a source has, and its ETag."""
    if file is None:
        return {}
    authors = file.authors
    return {
        "etag": file.etag,
        "written_by": authors.written_by,
        "written_at": authors.written_at,
        "action": authors.action,
    }
