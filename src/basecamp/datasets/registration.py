"""Registering specs, and reading those that are registered (specification 16.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from basecamp.datasets.after_write import Settling
from basecamp.datasets.catalog_cache import Specs, find_spec
from basecamp.datasets.dag_readiness import Loading
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.submitted_specs import Candidate, checked
from basecamp.shared.clock import Clock
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import Page
from basecamp.workflows.takeovers import Takeovers
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.errors import AirflowUnreachable, ExistsInCode, InvalidSpec
from dataspec.models import RegisteredDataset, SourceType
from dataspec.spec.names import check_name
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING

OVERRIDDEN_WARNING = "This dataset exists in Code: the Manual file is kept but inactive."
CHECKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a registration did."""

    dataset: RegisteredDataset
    created: bool
    """Whether there was no manual spec of that name before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What is wrong with a spec."""

    valid: bool
    name: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)


class Registration:
    """Checks, stores and shows specs."""

    def __init__(
        self,
        *,
        store: Store,
        specs: Specs,
        settling: Settling,
        loading: Loading,
        clock: Clock,
        sql: SpecSql,
        takeovers: Takeovers,
    ) -> None:
        self._sql = sql
        self._takeovers = takeovers
        self._store = store
        self._specs = specs
        self._settling = settling
        self._loading = loading
        self._clock = clock
        self._seen_loaded: dict[str, str] = {}

    def validate(self, candidate: Candidate) -> Validation:
        """Check a spec as a registration does; nothing is stored."""
        try:
            spec = checked(candidate)
        except InvalidSpec as error:
            return Validation(valid=False, problems=[problem.to_json() for problem in error.problems])
        return Validation(valid=True, name=spec.name)

    def register(
        self,
        name: str,
        candidate: Candidate,
        *,
        accept_override: bool = False,
        if_match: str | None = None,
        only_create: bool = False,
        wait_seconds: float = 60.0,
    ) -> Registered:
        """Store a spec as manual, and wait until Airflow has loaded it.

        Args:
            name: The dataset.
            candidate: The spec.
            accept_override: Store it although code has a spec of that name.
            if_match: The ETag that the manual spec must have, in quotes or not; ``*`` for any.
            only_create: There must be no manual spec.
            wait_seconds: How long Airflow may take to load it; 0 not to wait.

        Raises:
            InvalidName: When the name can't be a dataset's.
            InvalidSpec: With every problem; nothing is stored.
            ExistsInCode: When code has a spec of that name, and that was not accepted.
            TakenOver: When another DAG has that id; nothing is stored.
            Conflict: When someone else changed the manual spec meanwhile.
            NotLoaded: When Airflow has not loaded it in time. It is stored.
            StoreUnreachable: When the store does not answer.
        """
        spec = checked(candidate, name=check_name(name))
        catalog = self._specs.catalog(fresh=True)
        in_code = is_in_code(catalog, name)
        if in_code and not accept_override:
            raise ExistsInCode
        with suppress(AirflowUnreachable):  # the wait for the DAG tells it then
            self._takeovers.check(name)
        release = Release(candidate.yaml.encode(), {path: candidate.files[path] for path in spec.files})
        started_at = self._clock.now()
        current = self._store.get(manual_key(name))
        etag = write_release(
            self._store,
            manual_key(name),
            release,
            if_match=MISSING if only_create else _expected(current, if_match),
            now=self._clock.now,
        )
        dataset = self._settling.written(
            name,
            release,
            key=manual_key(name),
            etag=etag,
            since=started_at,
            wait_seconds=wait_seconds,
            overridden=OVERRIDDEN_WARNING if in_code else None,
        )
        return Registered(dataset=dataset, created=current is None)

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

    def page(
        self, source: SourceType | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[RegisteredDataset]:
        """Return the registered specs that can be used, by name, code before manual.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
            InvalidUsage: For a cursor of another list.
        """
        after = decode_cursor(cursor, parts=2) if cursor else None
        catalog = self._specs.known()
        usable = (*catalog.value.effective.values(), *catalog.value.overridden.values())
        files = sorted((file for file in usable if source in {None, file.source}), key=_place)
        files = [file for file in files if after is None or _place(file) > after]
        more = encode_cursor(_place(files[limit - 1])) if len(files) > limit else None
        items = list(self._described(files[:limit], catalog.value, ()))
        warnings = dict.fromkeys((*catalog.warnings, *(text for item in items for text in item.warnings)))
        return Page(items=items, next_cursor=more, warnings=tuple(warnings))

    def _described(
        self, files: Sequence[SpecFile], catalog: Catalog, warnings: Sequence[str]
    ) -> Iterator[RegisteredDataset]:
        with ThreadPoolExecutor(CHECKERS) as checkers:
            states = checkers.map(lambda file: self._is_loaded(file, catalog), files)
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
        """Say whether Airflow has this version. Once it has, it has until there is another."""
        name, spec_hash = file.name or "", file.spec_hash or ""
        if catalog.effective.get(name) is not file:
            return False, None
        if self._seen_loaded.get(name) != spec_hash:
            try:
                if not self._loading.is_loaded(name, spec_hash):
                    return False, None
            except AirflowUnreachable as error:
                return False, f"{error.title} Whether it has loaded the spec is not known."
            self._seen_loaded[name] = spec_hash
        return True, None

    def _with_tables(self, dataset: RegisteredDataset, file: SpecFile) -> RegisteredDataset:
        """Return a dataset with the tables that its SQL reads and writes; a list of many would take too long."""
        if file.spec is None:
            return dataset
        lineage = self._sql.lineage(file.spec, file)
        reads, writes = ([use.name for use in uses] for uses in (lineage.reads, lineage.writes))
        warnings = list(dataset.warnings)
        if lineage.unknown and not (reads or writes):
            warnings.append(f"The tables that the SQL reads and writes are not known: {lineage.unknown[0]}")
        return replace(dataset, reads=reads, writes=writes, warnings=warnings)


def _place(file: SpecFile) -> list[str]:
    return [file.name or "", file.source]


def _expected(current: StoredObject | None, if_match: str | None) -> str | None:
    """Return the ETag to write upon, as the store has it; a header may put it in other quotes."""
    if if_match is None:
        return None
    if current is not None and is_etag(if_match, current.etag):
        return current.etag
    return f"not {if_match}"


def is_etag(if_match: str, etag: str) -> bool:
    """Say whether a header means this ETag, in whatever quotes; ``*`` means any."""
    return if_match.removeprefix("W/").strip('"') in {"*", etag.strip('"')}


def is_in_code(catalog: Catalog, name: str) -> bool:
    """Say whether code claims a name, be it with a spec that can't be used."""
    if catalog.get(name, SourceType.CODE) is not None:
        return True
    return any(file.source is SourceType.CODE and file.name == name for file in catalog.invalid)
