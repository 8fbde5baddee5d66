"""What ``dli dataset run --dry-run`` shows: the SQL as it would go to the engine, checked as far as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.sql.preview import preview_sql
from dli.output.previews import numbered
from dli.output.tables import pairs
from dli.project.isolated import isolated
from dli.session import warn

if TYPE_CHECKING:
    from dli.local.run import Plan


def preview(plan: Plan) -> dict[str, Any]:
    """Return what a run would do, for JSON.

    Raises:
        InvalidTemplate: When the SQL can't be rendered, or parsed in its dialect; with the place.
    """
    found = isolated(
        plan.dataset.file,
        preview_sql,
        plan.spec,
        plan.dataset.sql,
        plan.values,
        yaml=plan.dataset.yaml,
        file=plan.dataset.file,
        dialect=plan.dialect,
    )
    return {
        "dataset_name": plan.spec.name,
        "file": plan.dataset.file,
        "connection": plan.spec.execution.connection,
        "engine": plan.engine.place,
        "dialect": plan.dialect,
        "parameters": plan.parameters,
        "statements": found.statements,
        "reads": found.reads,
        "writes": found.writes,
        "warnings": found.warnings,
    }


def described(preview: dict[str, Any]) -> str:
    """Return a preview as text; its warnings go to standard error."""
    warn(preview["warnings"])
    head = pairs(
        [
            ("Dataset", preview["dataset_name"]),
            ("File", preview["file"]),
            ("Connection", f"{preview['connection']} ({preview['engine']})"),
            ("Parameters", "\n".join(f"{key}={value}" for key, value in preview["parameters"].items())),
            ("Reads", "\n".join(preview["reads"])),
            ("Writes", "\n".join(preview["writes"])),
        ]
    )
    return "\n\n".join([head, numbered(preview["statements"])])
