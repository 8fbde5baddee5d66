"""``dli dataset register`` (specification 22.14, 22.40)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError, Refused
from dli.commands.dataset.override import with_consent
from dli.commands.dataset.replacing import prepare
from dli.confirmation import act_on_each
from dli.options import complete_dataset, pass_session, server_options, wait_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import RegisteredDataset
    from dli.project.project import LocalDataset
    from dli.project.registration_order import Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class _Register:
    """Registers datasets with the options of one command."""

    session: Session
    yes: bool
    whole: bool
    wait: int

    def one(self, local: LocalDataset, *, subject: str | None = None) -> RegisteredDataset:
        """Register a dataset; show what differs, and ask before it replaces another person's work.

        Args:
            local: The dataset.
            subject: Its name, for questions where the command registers several.
        """
        spec = local.checked()
        seen = prepare(self.session, local, yes=self.yes, whole=self.whole, subject=subject)
        return with_consent(
            lambda accepted: self.session.client.register(
                spec.name,
                local.yaml.decode(),
                local.sql,
                file=local.file,
                accept_override=accepted,
                accept_dependents=accepted,
                wait_seconds=self.wait,
                if_match=seen,
            ),
            yes=self.yes,
            subject=subject,
        )

    def several(self, named: tuple[str, ...]) -> None:
        """Register datasets in the order of the graph; leave out what depends on one that failed."""
        from dli.project.registration_order import in_order, selected

        left_out: set[str] = set()

        def register(item: Registration) -> RegisteredDataset:
            try:
                if item.error is not None:
                    raise item.error
                if missing := sorted(item.upstream & left_out):
                    raise Refused(f"It depends on {missing[0]}, which was not registered.")
                registered = self.one(item.local, subject=item.name)
            except DliError:
                left_out.add(item.name)
                raise
            if self.session.format == "table":
                click.echo(f"Registered: {registered.name}")
            warn(f"{registered.name}: {text}" for text in registered.warnings)
            return registered

        order = in_order(selected(self.session.project, named), self.session.dialect_of)
        done, errors = act_on_each(order, register, failed=lambda item: f"Not registered: {item.name}")
        if self.session.format == "json":
            self.session.print_json(done)
        if errors:
            raise click.exceptions.Exit(errors[0].exit_status)


@click.command("register")
@click.argument("datasets", metavar="[DATASET]...", nargs=-1, shell_complete=complete_dataset)
@click.option(
    "--all", "everything", is_flag=True, help="Register all datasets of the project, upstream datasets first."
)
@click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Don't ask if code has the dataset, if another person changed it, or if others would wait in vain.",
)
@click.option(
    "--diff", "whole", is_flag=True, help="Show every line that differs from the registered version."
)
@wait_options
@server_options
@pass_session
def command(
    session: Session,
    *,
    datasets: tuple[str, ...],
    everything: bool,
    yes: bool,
    whole: bool,
    no_wait: bool,
    wait_seconds: int,
) -> None:
    """Send a dataset's YAML and SQL to the server.

    DATASET is the dataset's name, the path of its file, or a pattern with *. It is checked
    locally and by the server, and stored in manual, where it replaces an earlier version. The
    command returns when Airflow has loaded it.

    It says what differs from the registered version: the keys, and how many lines of SQL. If
    that version was changed by `update`, rolled back, or registered by another person and is
    not in your Git history, you are asked first; without a terminal this is refused with exit
    status 4. --yes replaces it.

    Of several datasets, those that others depend on come first. If one can't be registered,
    those that depend on it are left out, and the others are still registered.
    """
    if bool(datasets) == everything:
        raise click.UsageError("Give either datasets or --all.")
    register = _Register(session=session, yes=yes, whole=whole, wait=0 if no_wait else wait_seconds)
    if len(datasets) != 1 or "*" in datasets[0]:
        register.several(datasets)
        return
    registered = register.one(session.project.find(datasets[0]))
    session.print_item(registered, f"Registered: {registered.name}")
    warn(registered.warnings)
