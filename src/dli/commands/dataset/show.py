"""``dli dataset show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.models import VersionDetails
from dataspec.spec.parse import parse_spec
from dataspec.spec.sql_texts import shared_files, sql_texts
from dli.options import dataset_argument, param_option, pass_session, server_options, source_option
from dli.output.tables import pairs
from dli.output.versions import state_of, told
from dli.session import Session, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.models import DatasetLineage, LineageColumn, RegisteredDataset
    from dataspec.spec.model import DatasetSpec, Parameter


@click.command("show")
@dataset_argument
@click.option("--registered", is_flag=True, help="Show the registered spec, from the server.")
@click.option(
    "--version", metavar="HASH", help="Show this version, from the server: the first digits of its hash."
)
@source_option(everything=False)
@click.option(
    "--columns", is_flag=True, help="Show the columns that it builds, and the columns that each comes from."
)
@click.option("--sql", is_flag=True, help="Show only the SQL, as it is written; with -p, as rendered.")
@param_option
@click.option(
    "--dialect", metavar="NAME", help="With --sql: rendered in this SQL dialect, such as snowflake."
)
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    registered: bool,
    version: str | None,
    source: str | None,
    columns: bool,
    sql: bool,
    parameters: dict[str, str],
    dialect: str | None,
) -> None:
    """Show a dataset's spec or its SQL.

    DATASET is the dataset's name, or the path of its file.
    """
    if version and (registered or source):
        raise click.UsageError("--version shows that version; leave out --registered and --source.")
    if source and not registered:
        raise click.UsageError("--source is for --registered.")
    if (parameters or dialect) and not sql:
        raise click.UsageError("-p and --dialect are for --sql.")
    if columns and (sql or version):
        raise click.UsageError("--columns is for the current spec; leave out --sql and --version.")
    if columns:
        _show_columns(session, _lineage(session, dataset, registered=registered, source=source))
        return
    stored = _stored(session, dataset, registered=registered, source=source, version=version)
    if parameters or dialect:
        from dli.local.dry_run import show_rendered

        show_rendered(session, dataset, parameters, dialect, stored=stored)
        return
    if stored is not None:
        _show_stored(session, stored, sql)
        return
    local = session.project.find(dataset)
    spec = local.checked()
    reads, writes, warnings = _tables(local.file, spec, local.sql, session.dialect_of(spec))
    warn(warnings)
    if session.format == "json":
        fields = spec.model_dump(mode="json", by_alias=True)
        session.print_json(
            {
                "name": local.name,
                "file": local.file,
                "spec": fields,
                "yaml": local.yaml.decode(),
                "files": local.sql,
                "reads": reads,
                "writes": writes,
            }
        )
    else:
        click.echo(
            _sql(spec, local.sql)
            if sql
            else _described(spec, local.sql, [("File", local.file)], reads, writes)
        )


def _lineage(session: Session, dataset: str, *, registered: bool, source: str | None) -> DatasetLineage:
    """Return the lineage of a dataset's columns, from the server or from the project."""
    if registered:
        return session.client.get_lineage(session.dataset_name(dataset), source=source)
    from dli.project.columns import lineage_in_project

    return lineage_in_project(session.project, session.dialects, session.project.find(dataset))


def _show_columns(session: Session, lineage: DatasetLineage) -> None:
    warn(lineage.warnings)
    if session.format == "json":
        session.print_json(lineage)
        return
    from dli.output.tables import print_table

    rows = [
        (column.name, column.type or "", _from(column), column.description or "")
        for column in lineage.columns
    ]
    print_table(["COLUMN", "TYPE", "FROM", "DESCRIPTION"], rows)
    if lineage.unknown is not None:
        warn([f"It may have other columns. {lineage.unknown}"])


def _from(column: LineageColumn) -> str:
    """Return the columns that a column comes from, and why there may be others."""
    sources = [f"{source.table}.{source.column}" for source in column.sources]
    unknown = [f"unknown: {column.unknown}"] if column.unknown else []
    return ", ".join([*sources, *unknown]) or "no column"


def _show_stored(session: Session, found: RegisteredDataset | VersionDetails, sql: bool) -> None:
    if session.format == "json":
        session.print_json(found)
        return
    warn(found.warnings)
    spec = parse_spec(found.yaml.encode(), file=found.file or found.name)
    if sql:
        click.echo(_sql(spec, found.files))
        return
    if isinstance(found, VersionDetails):
        click.echo(_described(spec, found.files, _about_version(found), (), ()))
    else:
        about = _about_registered(found)
        click.echo(_described(spec, found.files, about, found.reads or (), found.writes or ()))


def _about_registered(found: RegisteredDataset) -> list[tuple[str, str]]:
    state = "effective" if found.effective else "overridden"
    loaded = "has loaded" if found.loaded else "has not loaded" if found.loading_known else "may have loaded"
    return [
        ("File", found.file),
        ("Source", f"{found.source_type}, {state}"),
        ("Spec", found.spec_hash),
        ("Airflow", f"{loaded} this version"),
    ]


def _about_version(found: VersionDetails) -> list[tuple[str, str]]:
    last_run = f"{found.last_run_id}, {found.last_run_status}" if found.last_run_id else ""
    return [
        ("File", found.file or ""),
        ("Source", found.source_type or "unknown"),
        ("Spec", found.spec_hash),
        ("State", state_of(found)),
        ("Written", told(found)),
        ("Last run", last_run),
    ]


def _stored(
    session: Session, dataset: str, *, registered: bool, source: str | None, version: str | None
) -> RegisteredDataset | VersionDetails | None:
    """Return the spec from the server; None for that of the project."""
    if version:
        return session.client.get_version(session.dataset_name(dataset), version)
    if registered:
        return session.client.get_dataset(session.dataset_name(dataset), source=source)
    return None


def _tables(
    file: str, spec: DatasetSpec, files: Mapping[str, str], dialect: str | None
) -> tuple[list[str], list[str], list[str]]:
    """Return the tables that a dataset reads, without its own, those that it writes, and warnings."""
    from dataspec.sql.lineage.dataset_lineage import lineage_of
    from dli.project.isolated import isolated

    lineage = isolated(file, lineage_of, spec, files, dialect=dialect)
    return [use.name for use in lineage.reads], [use.name for use in lineage.writes], lineage.warnings


def _described(
    spec: DatasetSpec,
    files: Mapping[str, str],
    about: list[tuple[str, str]],
    reads: Sequence[str],
    writes: Sequence[str],
) -> str:
    schedule = spec.schedule
    off = "" if schedule is None or schedule.enabled else " (off: enabled is false)"
    return pairs(
        [
            ("Name", spec.name),
            *about,
            ("Owner", spec.owner),
            ("Team", spec.team),
            ("Description", spec.description and spec.description.strip()),
            ("Tags", ", ".join(spec.tags)),
            ("Domains", ", ".join(spec.domains)),
            ("Schedule", f"{schedule.clock or schedule.cron}{off}" if schedule else "none"),
            ("Retries", f"{spec.retry.max_attempts}, {spec.retry.delay_seconds} s apart"),
            ("Connection", spec.execution.connection),
            ("Dialect", spec.execution.dialect),
            ("Timeout", f"{spec.execution.timeout_seconds} s"),
            ("Depends on", "\n".join(spec.need_labels)),
            ("Reads", "\n".join(reads)),
            ("Writes", "\n".join(writes)),
            ("Parameters", "\n".join(map(_parameter, spec.parameters))),
            ("Columns", "\n".join(f"{column.name} {column.type or ''}".rstrip() for column in spec.columns)),
            ("SQL files", "\n".join(spec.files)),
            ("Project files", "\n".join(shared_files(spec, files))),
        ]
    )


def _parameter(parameter: Parameter) -> str:
    need = "required" if parameter.must_be_given else "optional"
    default = f", default {parameter.default}" if parameter.default is not None else ""
    choices = f", one of {', '.join(map(str, parameter.choices))}" if parameter.choices else ""
    about = f": {parameter.description}" if parameter.description else ""
    return f"{parameter.name} ({parameter.type}, {need}{default}{choices}){about}"


def _sql(spec: DatasetSpec, files: Mapping[str, str]) -> str:
    """Return the SQL in the order of execution, then the macro files and seeds; several texts each below its name."""
    texts = [
        (f"{text.name} ({text.file})" if text.file else text.name, text.sql)
        for text in sql_texts(spec, files)
    ]
    texts += shared_files(spec, files).items()
    if len(texts) == 1:
        return texts[0][1].rstrip("\n")
    return "\n\n".join(f"-- {title}\n{sql.rstrip()}" for title, sql in texts)
