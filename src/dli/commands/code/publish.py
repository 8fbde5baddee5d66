"""``dli code publish`` (specification 17.1, 22.26)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dataspec.catalog.publication import Publication
from dataspec.catalog.spec_storage import CODE_PREFIX
from dataspec.errors import Refused
from dli.options import common_options, pass_session, store_option
from dli.output.tables import print_table
from dli.project.publish_apply import CodeWriter
from dli.project.publish_dependencies import effect_on_others
from dli.project.publish_plan import checked_datasets, make_plan
from dli.project.revision import find_revision
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dli.project.project import LocalDataset
    from dli.project.publish_plan import Action, Change, PublishPlan
    from dli.project.revision import Revision

TITLES = ("ACTION", "DATASET", "FILE", "NOTE")
WORDS: tuple[tuple[Action, str], ...] = (
    ("add", "added"),
    ("change", "changed"),
    ("move", "moved"),
    ("remove", "removed"),
)


@click.command("publish")
@click.option("--dry-run", is_flag=True, help="Show what would change; write nothing.")
@click.option(
    "--prune/--no-prune",
    default=True,
    help="Remove datasets that the project does not have. [default: --prune]",
)
@click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Don't ask before removing more than a third of the datasets, or what others need.",
)
@store_option
@common_options
@pass_session
def command(session: Session, dry_run: bool, prune: bool, yes: bool) -> None:
    """Make code/ in the store match the project.

    For a CI/CD pipeline: it needs no server, only write access to code/. All specs are checked
    first; if one is invalid, nothing is written. Then new and changed datasets are written, each
    as a whole, and datasets that the project does not have are removed.

    Removing more than a third of all datasets, or one that others depend on, or changing a
    schedule so that a manual dataset waits in vain, needs --yes, or your confirmation on a
    terminal.
    """
    wanted = _wanted(session, may_be_empty=yes)
    revision = find_revision(session.project.folder, os.environ)
    plan = make_plan(session.store, wanted, prune=prune, repository=revision.repository)
    around = effect_on_others(session.store, plan)
    plan = replace(
        plan,
        warnings=(*plan.warnings, *_unstored(session, plan), *around.warnings),
        consent=(*plan.consent, *around.consent),
    )
    if session.format == "table":
        _show(plan)
    warn(plan.warnings)
    if dry_run:
        _tell_dry_run(session, plan)
        return
    if plan.consent and not yes:
        _ask(plan)
    publication = _publication(session, revision)
    CodeWriter(session.store, plan, prune=prune, now=lambda: datetime.now(UTC)).write(publication)
    if session.format == "json":
        session.print_json(_report(session, plan, dry_run=False))
    else:
        click.echo(f"Published: {_counted(plan)}.")


def _wanted(session: Session, *, may_be_empty: bool) -> Mapping[str, LocalDataset]:
    project = session.project
    wanted = checked_datasets(project)
    if not wanted and not (may_be_empty and project.folder.is_dir()):
        raise project.no_datasets()
    return wanted


def _unstored(session: Session, plan: PublishPlan) -> list[str]:
    """Return a warning for each written dataset whose rows no statement stores."""
    from dli.project.check import unstored_rows

    keys = [change.file for change in plan.changes if change.file in plan.wanted]
    paths = [session.project.folder / key.removeprefix(CODE_PREFIX) for key in keys]
    return [str(problem) for problem in unstored_rows(session.project, session.dialects, paths)]


def _publication(session: Session, revision: Revision) -> Publication:
    user = session.settings.get("user")
    by = revision.person if revision.person and user.origin == "default" else session.settings.user
    return Publication(
        commit=revision.commit,
        repository=revision.repository,
        ref=revision.ref,
        published_at=datetime.now(UTC),
        by=by,
    )


def _show(plan: PublishPlan) -> None:
    if plan.changes:
        print_table(TITLES, map(_row, plan.changes))


def _row(change: Change) -> tuple[str, str, str, str]:
    return change.action, change.name or "-", change.file, _note(change)


def _note(change: Change) -> str:
    notes = [
        " and ".join(change.changed),
        f"keys: {', '.join(change.changed_keys)}" if change.changed_keys else "",
        f"was {change.moved_from}" if change.moved_from else "",
        "overrides the manual spec" if change.overrides_manual else "",
        "the manual spec becomes effective again" if change.releases_manual else "",
        change.note or "",
    ]
    return "; ".join(note for note in notes if note)


def _counted(plan: PublishPlan) -> str:
    actions = [change.action for change in plan.changes]
    counted = [f"{actions.count(action)} {word}" for action, word in WORDS if action in actions]
    return ", ".join([*counted, f"{len(plan.unchanged)} unchanged"])


def _tell_dry_run(session: Session, plan: PublishPlan) -> None:
    if session.format == "json":
        session.print_json(_report(session, plan, dry_run=True))
    else:
        click.echo(f"Would be published: {_counted(plan)}. Nothing was written.")
    warn(f"{reason} This needs --yes." for reason in plan.consent)


def _ask(plan: PublishPlan) -> None:
    """Ask for confirmation of the removals.

    Raises:
        Refused: Without a terminal, or when the answer is no.
    """
    if not is_interactive():
        detail = "\n".join([*plan.consent, "Nothing was written. Confirm with --yes."])
        raise Refused("This publish needs your confirmation.", detail=detail)
    warn(plan.consent)
    if not click.confirm("Proceed?", err=True):
        say("Nothing was written.")
        raise Refused("Not published.")


def _report(session: Session, plan: PublishPlan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "store": session.store.url,
        "dry_run": dry_run,
        "changes": [change.to_json() for change in plan.changes],
        "unchanged": plan.unchanged,
        "warnings": plan.warnings,
        "needs_consent": plan.consent,
    }
