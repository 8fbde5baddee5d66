"""``dli dataset init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataspec.errors import InvalidUsage, NotFound, Refused
from dataspec.spec.identity import check_name
from dli.options import env_option, pass_session, path_option, verbose_option
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from dli.project.query_facts import QueryFacts


@click.command("init")
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--sql",
    "query",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make the spec of this query: with its parameters, its columns and what a run makes of its rows.",
)
@click.option(
    "--partition-column",
    metavar="COLUMN",
    help="With --sql: the column with the date of a run, for a query that uses one. [default: asked]",
)
@path_option
@env_option
@verbose_option
@pass_session
def command(session: Session, *, name: str | None, query: Path | None, partition_column: str | None) -> None:
    """Create a first spec and its SQL.

    With --sql it is the spec of a query: its parameters, its columns with their types, and what a
    run makes of its rows. NAME is the dataset's name; the default is the project's name with `.hello`, or the name of
    the query's file. The files are complete: they run as they are.
    """
    from dli.project.scaffold import dataset_files, owner_here, write_new

    if partition_column is not None and query is None:
        raise InvalidUsage("--partition-column is for --sql.")
    name = name or (query.stem if query else f"{session.settings.get('name').value}.hello")
    check_name(name)
    if name in session.project.names():
        raise Refused(
            f"Duplicate dataset name '{name}'.", detail=f"Already defined in {_file_of(session, name)}."
        )
    if query is not None:
        _init_of_query(session, name, query, partition_column)
        return
    written = write_new(session.project.folder, dataset_files(name, owner_here()))
    click.echo("\n".join(f"Created: {path}" for path in written))
    say(f"Next:\ndli dataset run {name} -p execution_date=2024-01-15")


def _file_of(session: Session, name: str) -> str:
    return session.project.find(name).file


def _init_of_query(session: Session, name: str, query: Path, partition_column: str | None) -> None:
    """Write the spec of a query beside its file, or with a copy of it in the folder of the specs."""
    from dli.project.check import check_local
    from dli.project.query_scaffold import facts_of, query_files
    from dli.project.scaffold import owner_here, write_new

    if not query.is_file():
        raise NotFound(f"No such file: {query}")
    facts = facts_of(session, query)
    column = _partition_column(facts, partition_column)
    folder = session.project.folder
    beside = query.resolve().is_relative_to(folder.resolve())
    files = query_files(name, owner_here(), facts, column, query, beside=beside)
    written = write_new(query.parent if beside else folder, files)
    click.echo("\n".join(f"Created: {path}" for path in written))
    checked = check_local(session.project.find(written[0]), session.dialects)
    warn(str(problem) for problem in checked.problems)
    values = "".join(
        f" -p {one}={'2024-01-15' if kind == 'date' else '...'}" for one, kind in facts.parameters.items()
    )
    say(f"Next:\ndli dataset run {name}{values}")


def _partition_column(facts: QueryFacts, given: str | None) -> str | None:
    """Return the column of the partition; None for a query that has none.

    Raises:
        InvalidUsage: When it is not given and can't be asked, or the query has no such column.
    """
    if not facts.is_select or not facts.has_partition:
        if given is not None:
            raise InvalidUsage(
                "The query has no partition.",
                detail="--partition-column is for one that uses {{ execution_date }}.",
            )
        return None
    known = {column.lower(): column for column in facts.columns}
    has = f"The query has: {', '.join(facts.columns)}." if known else "Its columns are not known."
    if given is None and is_interactive():
        likely = next(iter(facts.partition_columns), None)
        given = click.prompt(f"{has}\nWhich column has the date of a run?", default=likely, err=True)
    if given is None:
        raise InvalidUsage(
            "The query uses execution_date: which of its columns has the date of a run?",
            detail=f"{has}\nGive it by --partition-column.",
        )
    if known and given.lower() not in known:
        raise InvalidUsage(f"The query has no column '{given}'.", detail=has)
    return known.get(given.lower(), given)
