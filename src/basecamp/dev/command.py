"""The command `basecamp dev`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from basecamp.dev.home import Home
from basecamp.dev.processes.interrupts import Interrupted, Interrupts
from basecamp.dev.processes.supervisor import Progress
from basecamp.dev.release_lines import AIRFLOW_3, LINES
from basecamp.dev.startup import Options, Startup
from dataspec.errors import DliError

DEFAULT_HOME = Path(".basecamp")
DEFAULT_PORT = 8800
DEFAULT_AIRFLOW_PORT = 8080

_PATH = click.Path(file_okay=False, path_type=Path)
_PORT = click.IntRange(0, 65535)
_POSTGRESQL = re.compile(r"postgresql(\+psycopg2)?://[^/]*/[^/?]+")


def _postgresql(_ctx: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url is not None and not _POSTGRESQL.match(url):
        raise click.BadParameter("must be like postgresql://user:password@127.0.0.1:5432/airflow.")
    return url


@click.command(short_help="Run Basecamp with its own Airflow on this machine.")
@click.option(
    "--home",
    metavar="DIR",
    type=_PATH,
    default=DEFAULT_HOME,
    show_default=True,
    help="Folder for all files: Airflow, store, logs.",
)
@click.option(
    "--port",
    metavar="N",
    type=_PORT,
    default=DEFAULT_PORT,
    show_default=True,
    help="Basecamp's port; 0 picks a free one.",
)
@click.option(
    "--airflow-port",
    metavar="N",
    type=_PORT,
    default=DEFAULT_AIRFLOW_PORT,
    show_default=True,
    help="Airflow's port; 0 picks a free one.",
)
@click.option(
    "--store", metavar="URL", help="The store: a folder or s3://bucket/prefix.  [default: HOME/store]"
)
@click.option(
    "--airflow-env",
    metavar="DIR",
    type=_PATH,
    help="Folder of the Airflow installation; homes can share one.  [default: HOME/airflow-env]",
)
@click.option(
    "--airflow",
    "line",
    type=click.Choice(list(LINES)),
    default=AIRFLOW_3.name,
    show_default=True,
    help="Airflow version; 2.11 needs --airflow-database.",
)
@click.option(
    "--airflow-database",
    metavar="URL",
    callback=_postgresql,
    help="PostgreSQL database for Airflow: an empty one, or one from an earlier start.  [default: SQLite in HOME]",
)
def dev(
    *,
    home: Path,
    port: int,
    airflow_port: int,
    store: str | None,
    airflow_env: Path | None,
    line: str,
    airflow_database: str | None,
) -> None:
    """Run Basecamp with its own Airflow on this machine.

    Installs Airflow at the first start (once per home), starts Airflow and Basecamp, and prints
    Ready with the addresses. Both listen on this machine only, without sign-in. Ctrl-C stops
    everything; the next start with the same home continues with its data.

    Reads the connections from a dli.yaml in the current folder.
    """
    options = Options(
        home=Home(home.resolve(), LINES[line]),
        project=Path.cwd(),
        port=port,
        airflow_port=airflow_port,
        store=store,
        airflow_env=airflow_env and airflow_env.resolve(),
        database_url=airflow_database,
    )
    progress = Progress(sys.stderr)
    try:
        with Interrupts() as interrupts:
            Startup(options, interrupts, progress).run()
    except Interrupted as interrupted:
        progress.say("Stopped.")
        sys.exit(128 + interrupted.signum)
    except DliError as error:
        lines = [*error.text.splitlines(), *(error.detail or "").splitlines()]
        progress.say("Error: " + "\n       ".join(lines))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    dev()
