"""Show dry runs on the server: of the registered spec, or of a local one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataspec.errors import DatasetNotFound, NotFound
from dli.output.tables import pairs
from dli.session import say, warn

if TYPE_CHECKING:
    from dataspec.models import BackfillPreview, RunPreview
    from dli.project.project import LocalDataset
    from dli.session import Session

T_co = TypeVar("T_co", covariant=True)


class Ask(Protocol[T_co]):
    """Request a preview of the registered spec, or of the one in the arguments."""

    def __call__(
        self, *, yaml: str | None = None, files: dict[str, str] | None = None, file: str | None = None
    ) -> T_co:
        """Return the preview."""
        ...


def preview(session: Session, named: str, source: str | None, ask: Ask[T_co]) -> T_co:
    """Return a preview of a file, of a registered dataset, or else of the project's.

    Raises:
        DatasetNotFound: When neither the server nor the project has it.
        InvalidSpec: When the local spec is invalid.
    """
    from dli.project.project import is_path

    if source is None and is_path(named):
        return ask(**_sent(session.project.find(named)))
    try:
        return ask()
    except DatasetNotFound as error:
        local = _in_project(session, named) if source is None else None
        if local is None:
            raise error from None
        say(f"This dataset is not registered yet. Previewing {local.file}.")
        return ask(**_sent(local))


def head(preview: RunPreview | BackfillPreview, *more: tuple[str, str], partition: str | None = None) -> str:
    """Return the fields above the SQL of a preview; print its warnings."""
    warn(preview.warnings)
    kind = preview.source_type if preview.registered else "not registered"
    return pairs(
        [
            ("Dataset", preview.dataset_name),
            ("Source", f"{kind} (spec {preview.spec_hash})"),
            ("Partition", partition),
            ("Parameters", "\n".join(f"{key}={value}" for key, value in preview.parameters.items())),
            ("Reads", "\n".join(preview.reads)),
            ("Writes", "\n".join(preview.writes)),
            *more,
        ]
    )


def numbered(statements: list[str]) -> str:
    """Return statements, each below its number."""
    count = len(statements)
    return "\n\n".join(f"-- {number} of {count}\n{sql}" for number, sql in enumerate(statements, 1))


def published(statements: list[str]) -> list[str]:
    """Return the statements that stage, check and publish rows as one text; none without any."""
    if not statements:
        return []
    return [
        "\n\n".join(
            [
                "-- What stages, checks and publishes the rows of the query:",
                *(f"{sql};" for sql in statements),
            ]
        )
    ]


def _in_project(session: Session, name: str) -> LocalDataset | None:
    try:
        return session.project.find(name)
    except NotFound:
        return None


def _sent(local: LocalDataset) -> dict[str, Any]:
    local.checked()
    return {"yaml": local.yaml.decode(), "files": local.sql, "file": local.file}
