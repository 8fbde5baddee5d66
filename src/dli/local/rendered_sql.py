"""``dli dataset show --sql -p …``: the SQL as it would go to the engine, perhaps in another dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dataspec.parameters.resolve import resolve_parameters
from dataspec.spec.parse import parse_spec
from dataspec.sql.rendering import render_statements
from dataspec.sql.template.run_values import run_values
from dataspec.sql.transpile import check_dialect, transpile
from dli.project.isolated import isolated
from dli.session import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dli.session import Session


def show_rendered(
    session: Session,
    dataset: str,
    given: Mapping[str, str],
    dialect: str | None,
    *,
    registered: bool,
    source: str | None,
) -> None:
    """Print a dataset's SQL as rendered with parameters.

    Args:
        session: The command's session.
        dataset: The dataset's name, or the path of its file.
        given: The parameters.
        dialect: The SQL dialect to show it in; None for its own.
        registered: Whether the registered spec is meant.
        source: Which of the registered ones; None for the effective one.

    Raises:
        InvalidUsage: When the dialect is not known.
        InvalidParameters: When the parameters don't fit.
        InvalidTemplate: When the SQL can't be rendered, or parsed to be shown in another dialect.
    """
    write = check_dialect(dialect) if dialect else None
    yaml, files, file = _found(session, dataset, registered=registered, source=source)
    spec = parse_spec(yaml, file=file)
    values = run_values(spec, resolve_parameters(spec.parameters, given))
    read = session.dialect_of(spec)
    statements = render_statements(spec, files, values, dialect=read, file=file, yaml=yaml)
    texts = [statement.sql for statement in statements]
    if write is not None:
        texts, losses = isolated(file, transpile, statements, read=read, write=write, yaml=yaml, file=file)
        warn(f"{write} has no word for all of it: {loss}" for loss in losses)
    if session.format == "json":
        session.print_json(
            [{"name": s.name, "kind": s.kind, "sql": sql} for s, sql in zip(statements, texts, strict=True)]
        )
    else:
        click.echo(_joined([s.name for s in statements], texts))


def _found(
    session: Session, dataset: str, *, registered: bool, source: str | None
) -> tuple[bytes, Mapping[str, str], str]:
    if registered:
        found: Any = session.client.get_dataset(session.dataset_name(dataset), source=source)
        return found.yaml.encode(), found.files, found.file
    local = session.project.find(dataset)
    local.checked()
    return local.yaml, local.sql, local.file


def _joined(names: list[str], texts: list[str]) -> str:
    """Return one statement as it is, several each under its name and with its semicolon: a script."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"-- {name}\n{text};" for name, text in zip(names, texts, strict=True))
