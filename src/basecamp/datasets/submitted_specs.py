"""Specs that a request brings: to check, to register, or to try out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from basecamp.access.principal import Principal, Role
from basecamp.access.refusals import spec_role_needed
from basecamp.datasets.catalog_cache import CatalogCache, find_runnable
from dataspec.catalog.effective import SpecFile, with_clocks
from dataspec.catalog.spec_storage import Release
from dataspec.errors import InvalidSpec
from dataspec.models import SourceType
from dataspec.problems import Problem
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.validation import check_spec, used_files

NEVER = datetime.min.replace(tzinfo=UTC)
"""The time of writing of a spec that is not in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedSpec:
    """A spec from a request: its YAML, its SQL files, and the YAML's file name on the user's machine."""

    caller: Principal
    """Who sent it."""
    yaml: str = field(repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: str = "dataset.yaml"


def checked(candidate: SubmittedSpec, *, name: str | None = None) -> DatasetSpec:
    """Check a submitted spec, and return it.

    Raises:
        InvalidSpec: With every problem and its place in the user's files.
    """
    body = candidate.yaml.encode()
    spec = check_spec(body, candidate.files, file=candidate.file)
    problems = []
    if name is not None and spec.name != name:
        message = f"the name is '{spec.name}', but '{name}' was to be registered."
        problems.append(read_document(body, candidate.file).problem(("name",), message))
    problems += [
        Problem(f"the file '{path}' was sent, but the spec does not use it.", candidate.file)
        for path in sorted(candidate.files.keys() - {*spec.files, *used_files(spec, candidate.files)})
    ]
    if problems:
        raise InvalidSpec(problems)
    return spec


def check_rights(
    candidate: SubmittedSpec, spec: DatasetSpec, role: Role, connections: ConnectionTeams
) -> None:
    """Check that the caller has a role for the team of the spec that they sent, and the team its connection.

    Raises:
        Forbidden: When one of them does not.
    """
    if not candidate.caller.may(role, spec.team):
        raise spec_role_needed(candidate.caller, role, spec.team)
    connections.check(spec)


def file_to_run(
    specs: CatalogCache,
    connections: ConnectionTeams,
    dataset: str,
    source: SourceType | None,
    candidate: SubmittedSpec | None,
) -> tuple[SpecFile, DatasetSpec]:
    """Return the spec that a run of a dataset would use, or the submitted one, and its file.

    Raises:
        Forbidden: When its connection is limited to other teams, or the caller is no operator of a submitted one.
        InvalidSpec: When the spec is invalid.
        Overridden, DatasetNotFound: As for a run, when no spec was submitted.
        StoreUnreachable: When the store does not answer.
    """
    if candidate is not None:
        spec = checked(candidate, name=dataset)
        check_rights(candidate, spec, Role.OPERATOR, connections)
        file = as_file(spec, candidate)
        if spec.follows_upstream:
            file = with_clocks({dataset: file}, specs.catalog().effective)[dataset]
        return file, file.spec or spec
    file = find_runnable(specs.catalog(fresh=True), dataset, source)
    assert file.spec is not None  # noqa: S101 - the catalog gives usable specs alone
    connections.check(file.spec)
    return file, file.spec


def as_file(spec: DatasetSpec, candidate: SubmittedSpec) -> SpecFile:
    """Return a submitted spec, checked, as if it were in the store."""
    body = candidate.yaml.encode()
    return SpecFile(
        source=SourceType.MANUAL,
        key=candidate.file,
        etag="",
        last_modified=NEVER,
        name=spec.name,
        yaml=body,
        spec=spec,
        files=candidate.files,
        spec_hash=Release(body, dict(candidate.files)).spec_hash,
    )
