"""``dli workflow open`` (specification 22.45)."""

from __future__ import annotations

from contextlib import suppress

import click

from dataspec.errors import DatasetNotFound, InvalidName, InvalidSpec
from dli.browser import dataset_page, open_page, run_page
from dli.named_runs import find_run
from dli.options import pass_session, run_dataset_option, server_options
from dli.session import Session


@click.command("open")
@click.argument("named", metavar="NAME|RUN_ID")
@run_dataset_option
@server_options
@pass_session
def command(session: Session, named: str, dataset: str | None) -> None:
    """Open the page of a dataset or a run.

    NAME is the name of a dataset, or the path of its file. The URL is printed; a browser opens if
    this machine has one and a person sits at the terminal.
    """
    page = _page(session, named, dataset)
    session.print_item({"url": page}, page)
    open_page(page)


def _page(session: Session, named: str, dataset: str | None) -> str:
    from dataspec.spec.identity import check_name

    server = session.settings.server_url
    if dataset is None:
        with suppress(InvalidName, DatasetNotFound):
            name = check_name(session.dataset_name(named))
            with suppress(InvalidSpec):  # its page says what is wrong
                session.client.get_workflow(name)
            return dataset_page(server, name)
    return run_page(server, find_run(session, named, dataset=dataset))
