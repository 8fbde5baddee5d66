"""Pause or resume the datasets that a user names, one by one or by patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from dataspec.models import WorkflowStatus
from dli.confirmation import act_on_each, ask_first, counted
from dli.session import say, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dataspec.models import WorkflowInfo
    from dli.session import Session

Verb = Literal["pause", "unpause"]


def change_pauses(
    session: Session,
    verb: Verb,
    named: Sequence[str],
    change: Callable[[str], WorkflowInfo],
    *,
    source: str | None,
    yes: bool,
) -> None:
    """Pause or resume each dataset; for patterns list what would change, and ask.

    Args:
        session: The command's session.
        verb: What to do.
        named: Names of datasets, paths of their files, and patterns with ``*``.
        change: Pauses or resumes a dataset.
        source: Only datasets whose effective spec has this source.
        yes: Don't ask.
    """
    if len(named) == 1 and "*" not in named[0]:
        workflow = change(session.dataset_name(named[0]))
        session.print_item(workflow, _told(verb, workflow.dataset_name))
        if workflow.note:
            say(workflow.note)
        return
    patterns = [name for name in named if "*" in name]
    matching = _matching(session, verb, patterns, source) if patterns else []
    names = list(dict.fromkeys([session.dataset_name(name) for name in named if "*" not in name] + matching))
    if matching and not yes:
        count = counted(len(names), "dataset")
        ask_first(
            f"{verb.capitalize()} {count}?",
            show=lambda: say("\n".join(names)),
            effect=f"{count} would be {verb}d.",
            declined=f"Nothing was {verb}d.",
            detail="\n".join((*names, "Confirm with --yes.")),
        )

    def act(name: str) -> WorkflowInfo:
        workflow = change(name)
        if session.format == "table":
            click.echo(_told(verb, name))
        if workflow.note:
            say(f"{name}: {workflow.note}")
        return workflow

    changed, errors = act_on_each(names, act, failed=lambda name: f"Not {verb}d: {name}")
    if session.format == "json":
        session.print_json(changed)
    if not names:
        say(f"No dataset that can be {verb}d matches {', '.join(patterns)}.")
    if errors:
        raise click.exceptions.Exit(errors[0].exit_status)


def _matching(session: Session, verb: Verb, patterns: list[str], source: str | None) -> list[str]:
    """Return the datasets that match a pattern and are not in the wanted state yet."""
    rows = session.client.list_workflows(dataset=patterns, source=source)
    warn(rows.warnings)
    known = (WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED)
    is_paused = verb == "unpause"
    return [row.dataset_name for row in rows if row.status in known and row.paused is is_paused]


def _told(verb: Verb, name: str) -> str:
    return f"{verb.capitalize()}d: {name}"
