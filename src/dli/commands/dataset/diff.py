"""``dli dataset diff``: compare a dataset's versions (specification 22.18)."""

from __future__ import annotations

from typing import Any

import click

from dataspec.errors import DatasetNotFound, NotFound
from dataspec.models import DatasetVersions, SourceType, SpecVersion
from dataspec.spec.identity import spec_hash
from dli.options import dataset_argument, pass_session, server_options
from dli.output.tables import in_colour, print_table
from dli.project.comparison import AIRFLOW, LOCAL, Comparison
from dli.session import Session, warn

TITLES = ("WHERE", "SPEC", "FILE", "NOTE")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
DIFFERENT = 1


@click.command("diff")
@dataset_argument
@click.option("--exit-code", is_flag=True, help="Exit with status 1 if there is a difference.")
@server_options
@pass_session
def command(session: Session, dataset: str, exit_code: bool) -> int:
    """Compare the local version with the registered and running ones.

    Shows the version in this project, in manual, in code and in Airflow, then how each of the
    others differs from the one that Airflow runs.
    """
    local = _local(session, dataset)
    name = session.dataset_name(dataset)
    comparison = Comparison(name, local, _registered(session, name, local))
    if session.format == "json":
        session.print_json(_report(comparison))
    else:
        print_table(TITLES, comparison.rows())
        for difference in comparison.differences():
            click.echo("\n" + "\n".join(map(_painted, difference.lines)))
    warn(comparison.versions.warnings)
    return DIFFERENT if exit_code and comparison.differ else 0


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
        "differences": [
            {
                "from": difference.base,
                "to": difference.other,
                "file": difference.file,
                "diff": "\n".join(difference.lines) + "\n",
            }
            for difference in comparison.differences()
        ],
        "warnings": comparison.versions.warnings,
    }


def _painted(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return click.style(line, fg=colour) if colour and in_colour() else line
