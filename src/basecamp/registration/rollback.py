"""Register an earlier version of a manual spec again."""

from __future__ import annotations

from basecamp.access.principal import Principal
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.registration.after_write import is_in_code
from basecamp.registration.register import Registered, Registration
from basecamp.shared.waiting import Steps
from basecamp.workflows.version_list import VersionList
from dataspec.errors import REVERT, ManagedByCode
from dataspec.models import SourceType


class Rollback:
    """Takes manual specs back to earlier versions."""

    def __init__(self, specs: CatalogCache, versions: VersionList, registration: Registration) -> None:
        self._specs = specs
        self._versions = versions
        self._registration = registration

    def roll_back(
        self,
        name: str,
        version: str,
        *,
        caller: Principal,
        accept_override: bool = False,
        accept_dependents: bool = False,
        if_match: str | None = None,
        if_none_match: str | None = None,
        wait_seconds: float = 60.0,
        idempotency_key: str | None = None,
    ) -> Steps[Registered]:
        """Register a version of a dataset again, as it was written, YAML and SQL.

        Args:
            name: The dataset, which may be removed.
            version: The first digits of the version's hash, or all.
            caller: Who requested it.
            accept_override: As in :meth:`Registration.register`, as all arguments below, and its errors.
            accept_dependents: As there.
            if_match: The ETags of which the manual spec must have one.
            if_none_match: The ETags of which it must have none.
            wait_seconds: How long Airflow may take to load it.
            idempotency_key: A second call with it writes nothing.

        Raises:
            DatasetNotFound: When there is no version of the dataset.
            VersionNotFound: When the dataset has no such version.
            AmbiguousVersion: When several of its versions begin with these digits.
            ManagedByCode: When code has the dataset, and manual has no file of it.
        """
        release = self._versions.release(name, version)
        catalog = self._specs.catalog(fresh=True)
        if is_in_code(catalog, name) and catalog.get(name, SourceType.MANUAL) is None:
            raise ManagedByCode(REVERT)
        candidate = SubmittedSpec(
            caller=caller,
            yaml=release.yaml.decode(),
            files=release.files,
            file=f"{name} (version {release.spec_hash})",
        )
        registered = yield from self._registration.register(
            name,
            candidate,
            action="rollback",
            accept_override=accept_override,
            accept_dependents=accept_dependents,
            if_match=if_match,
            if_none_match=if_none_match,
            wait_seconds=wait_seconds,
            idempotency_key=idempotency_key,
        )
        return registered
