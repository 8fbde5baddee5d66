"""``dli dataset diff``: compare a dataset's versions (specification 22.18)."""

from __future__ import annotations

from typing import Any

import click

from dataspec.errors import DatasetNotFound, NotFound
from dataspec.models import DatasetVersions, SourceType, SpecVersion
from dataspec.spec.identity import spec_hash
from dli.options import dataset_argument, pass_session, server_options
from dli.output.differences import VersionDiff, print_difference
from dli.output.tables import print_table
from dli.project.comparison import AIRFLOW, LOCAL, Comparison
from dli.session import Session, warn

TITLES = ("WHERE", "SPEC", "FILE", "NOTE")
DIFFERENT = 1
_PAIR = 2


@click.command("diff")
@dataset_argument
@click.argument("versions", nargs=-1, metavar="[HASH [HASH]]")
@click.option("--exit-code", is_flag=True, help="Exit with status 1 if there is a difference.")
@server_options
@pass_session
def command(session: Session, dataset: str, versions: tuple[str, ...], exit_code: bool) -> int:
    """Compare a dataset's versions.

    Shows the version in this project, in manual, in code and in Airflow, then how each of the
    others differs from the one that Airflow runs.

    With one HASH: what changed from that version to the registered one; with two, from the first
    to the second. The first digits of a hash are enough; `dli dataset versions` lists them.
    """
    if len(versions) > _PAIR:
        raise click.UsageError("Give at most two versions.")
    if versions:
        return _compare(session, session.dataset_name(dataset), versions, exit_code)
    local = _local(session, dataset)
    name = session.dataset_name(dataset)
    comparison = Comparison(name, local, _registered(session, name, local))
    if session.format == "json":
        session.print_json(_report(comparison))
    else:
        print_table(TITLES, comparison.rows())
        for difference in comparison.differences():
            print_difference(difference)
    warn(comparison.versions.warnings)
    return DIFFERENT if exit_code and comparison.differ else 0


def _compare(session: Session, name: str, versions: tuple[str, ...], exit_code: bool) -> int:
    """Show what changed from one kept version to another, or to the registered one."""
    old = session.client.get_version(name, versions[0])
    new = (
        session.client.get_version(name, versions[1])
        if len(versions) > 1
        else session.client.get_dataset(name)
    )
    diff = VersionDiff(name, old, new)
    if session.format == "json":
        session.print_json(diff.to_json())
    else:
        diff.show()
    warn(dict.fromkeys((*old.warnings, *new.warnings)))
    return DIFFERENT if exit_code and not diff.is_same else 0


def _local(session: Session, named: str) -> SpecVersion | None:
    """Return the local version; None if the project does not have the dataset."""
    try:
        found = session.project.find(named)
    except NotFound:
        return None
    problems = "\n".join(map(str, found.problems))
    return SpecVersion(
        source_type=SourceType.MANUAL,
        file=found.file,
        spec_hash=None if problems else spec_hash(found.yaml, found.sql),
        yaml=found.yaml.decode("utf-8", "replace"),
        files=found.sql,
        error=problems or None,
    )


def _registered(session: Session, name: str, local: SpecVersion | None) -> DatasetVersions:
    try:
        return session.client.get_versions(name)
    except DatasetNotFound:
        if local is None:
            raise
        return DatasetVersions(name=name)


def _report(comparison: Comparison) -> dict[str, Any]:
    places = (LOCAL, "manual", "code", AIRFLOW)
    return {
        "name": comparison.name,
        **{place: comparison.at(place) for place in places},
        "same": comparison.same,
        "differences": [difference.to_json() for difference in comparison.differences()],
        "warnings": comparison.versions.warnings,
    }
