"""Show the rendered SQL: ``dli dataset run --dry-run`` and ``dli dataset show --sql -p`` (specification 22.20)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dataspec.engines.materialization.rehearsal import preview_run
from dataspec.spec.dialects import check_dialect
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import resolve_run, with_absolute_date
from dataspec.sql.rendering import render_statements
from dataspec.sql.transpile import transpile
from dli.output.previews import numbered, published
from dli.output.tables import pairs
from dli.output.times import relative_date, spanned
from dli.project.clocks import find_with_clock
from dli.project.isolated import isolated
from dli.session import say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.models import RegisteredDataset, VersionDetails
    from dataspec.spec.model import DatasetSpec
    from dli.local.run import RunPlan
    from dli.session import Session


def preview(plan: RunPlan) -> dict[str, Any]:
    """Return the dry run of a plan, for JSON.

    Raises:
        InvalidTemplate: When the SQL can't be rendered, or parsed in its dialect.
    """
    found = isolated(
        plan.dataset.file,
        preview_run,
        plan.spec,
        plan.dataset.sql,
        plan.run_values,
        yaml=plan.dataset.yaml,
        file=plan.dataset.file,
        dialect=plan.connected,
        refresh=plan.refresh,
    )
    return {
        "dataset_name": plan.spec.name,
        "file": plan.dataset.file,
        "connection": plan.spec.execution.connection,
        "engine": plan.engine.place,
        "dialect": plan.dialect,
        "partition": plan.partition,
        "parameters": plan.parameters,
        "statements": found.statements,
        "publishing": found.publishing,
        "reads": found.reads,
        "writes": found.writes,
        "warnings": [*plan.warnings, *found.warnings],
    }


def describe(preview: dict[str, Any]) -> str:
    """Return a dry run as text; print its warnings."""
    warn(preview["warnings"])
    head = pairs(
        [
            ("Dataset", preview["dataset_name"]),
            ("File", preview["file"]),
            ("Connection", f"{preview['connection']} ({preview['engine']})"),
            ("Partition", spanned(preview["partition"])),
            ("Parameters", "\n".join(f"{key}={value}" for key, value in preview["parameters"].items())),
            ("Reads", "\n".join(preview["reads"])),
            ("Writes", "\n".join(preview["writes"])),
        ]
    )
    return "\n\n".join([head, numbered(preview["statements"]), *published(preview["publishing"])])


def show_rendered(
    session: Session,
    dataset: str,
    given: Mapping[str, str],
    dialect: str | None,
    *,
    stored: RegisteredDataset | VersionDetails | None,
) -> None:
    """Print a dataset's SQL as rendered with parameters.

    Args:
        session: The command's session.
        dataset: The dataset's name, or the path of its file.
        given: The parameters as text.
        dialect: The SQL dialect to translate to; None for the dataset's own.
        stored: The spec from the server; None for the project's.

    Raises:
        InvalidUsage: When the dialect is not known.
        InvalidParameters: When the parameters don't fit.
        InvalidTemplate: When the SQL can't be rendered, or parsed to be shown in another dialect.
    """
    write = check_dialect(dialect) if dialect else None
    spec, yaml, files, file = _found(session, dataset, stored)
    values = resolve_run(spec, with_absolute_date(spec, given, datetime.now(UTC)))
    warn(values.warnings)
    if text := relative_date(given, values.run_partition):
        say(text)
    read = session.dialect_of(spec)
    rendered = render_statements(spec, files, values.template, dialect=read, file=file, yaml=yaml)
    statements = [statement for statement in rendered if statement.kind != "seed"]
    texts = [statement.sql for statement in statements]
    if write is not None:
        texts, losses = isolated(file, transpile, statements, read=read, write=write, yaml=yaml, file=file)
        warn(f"The translation to {write} is incomplete: {loss}" for loss in losses)
    if session.format == "json":
        session.print_json(
            [{"name": s.name, "kind": s.kind, "sql": sql} for s, sql in zip(statements, texts, strict=True)]
        )
    else:
        click.echo(_joined([s.name for s in statements], texts))


def _found(
    session: Session, dataset: str, stored: RegisteredDataset | VersionDetails | None
) -> tuple[DatasetSpec, bytes, Mapping[str, str], str]:
    if stored is not None:
        yaml, file = stored.yaml.encode(), stored.file or stored.name
        return parse_spec(yaml, file=file), yaml, stored.files, file
    local = find_with_clock(session.project, dataset)
    return local.checked(), local.yaml, local.sql, local.file


def _joined(names: list[str], texts: list[str]) -> str:
    """Return one statement as it is; several as a script, each below its name."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"-- {name}\n{text};" for name, text in zip(names, texts, strict=True))
