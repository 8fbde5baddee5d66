"""``dli import dbt``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import InvalidUsage, Refused
from dli.options import common_options, pass_session
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dli.dbt.outcome import Outcome


@click.command("dbt")
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="dbt's manifest, such as target/manifest.json: with it macros of dbt and SQL that it compiled are known.",
)
@click.option(
    "--schema", metavar="NAME", help="The schema of models without one. [default: the dbt project's name]"
)
@click.option(
    "--owner", metavar="EMAIL", help="The owner of datasets that name none. [default: Git's user.email]"
)
@click.option(
    "--vars", "variables", metavar="YAML", help="Variables as for dbt, such as: {start_date: '2024-01-01'}."
)
@click.option(
    "--target",
    metavar="NAME",
    help="The name of dbt's target, for templates that ask for it. [default: none]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be turned; write nothing.")
@common_options
@pass_session
def command(
    session: Session,
    *,
    folder: Path,
    manifest: Path | None,
    schema: str | None,
    owner: str | None,
    variables: str | None,
    target: str | None,
    dry_run: bool,
) -> None:
    """Turn a dbt project into specs.

    PATH is the folder with dbt_project.yml. Models and seeds become datasets, tests become checks
    and unit tests, macros become macros; each spec passes validate. What has no counterpart is
    listed, with its place and the reason. Files that exist already are not changed.
    """
    from dli.dbt.importing import import_project
    from dli.dbt.outcome import Choices
    from dli.project.scaffold import owner_here

    outcome, files = import_project(
        folder,
        manifest=_found(manifest, folder),
        choices=Choices(
            schema=schema, owner=owner or owner_here(), variables=_variables(variables), target=target
        ),
        dialects=session.dialects,
    )
    if not dry_run and outcome.datasets:
        _write(session, folder, outcome, files)
    _show(session, outcome)
    if outcome.datasets and not dry_run:
        say("Next:\ndli dataset validate\ndli dataset run --all")


def _found(manifest: Path | None, folder: Path) -> Path | None:
    """Return the path of the manifest, which may be given from the dbt project's folder."""
    if manifest is None or manifest.exists():
        return manifest
    return folder / manifest


def _variables(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise InvalidUsage(f"--vars '{text}' is no mapping in YAML.", detail="Write: --vars '{name: value}'")
    return {str(key): value for key, value in found.items()}


def _write(session: Session, source: Path, outcome: Outcome, files: dict[str, str]) -> None:
    """Write the files into the project, which is made if it is missing.

    Raises:
        Refused: When the project is in the dbt project, or has datasets or files of these names.
    """
    from dli.project.scaffold import project_files, write_new

    root = session.root.resolve()
    if root.is_relative_to(source.resolve()):
        raise Refused(
            "The specs would be written into the dbt project.",
            detail="Nothing was written. Run the command in a folder beside it, or give one by --path.",
        )
    if taken := sorted(outcome.datasets.keys() & set(session.project.names())):
        raise Refused(
            f"The project has datasets of these names already: {', '.join(taken)}.",
            detail="Nothing was written. Give the imported ones another schema: --schema NAME",
        )
    made = {} if session.project.is_made else project_files(root.name)
    new = {name: text for name, text in made.items() if not (session.root / name).exists()}
    placed = {_placed(name, session.project.folder, session.root): text for name, text in files.items()}
    write_new(session.root, placed | new)


def _placed(name: str, folder: Path, root: Path) -> str:
    """Return a file's path in the project, whose folder of specs may have another name."""
    from dli.dbt.writing import FOLDER

    own = name.removeprefix(FOLDER)
    return name if own == name else (folder / own).relative_to(root).as_posix()


def _show(session: Session, outcome: Outcome) -> None:
    turned = {kind: found - outcome.lost[kind] for kind, found in outcome.found.items()}
    if session.format == "json":
        kinds = [{"kind": kind, "found": outcome.found[kind], "turned": turned[kind]} for kind in turned]
        problems = [problem.to_json() for problem in outcome.problems]
        session.print_json({"datasets": sorted(outcome.datasets), "kinds": kinds, "problems": problems})
        return
    from dli.output.tables import print_table

    rows = [(kind, f"{outcome.found[kind]:,}", f"{turned[kind]:,}") for kind in turned]
    print_table(("IN DBT", "FOUND", "TURNED"), rows)
    warn(str(problem) for problem in outcome.problems)
