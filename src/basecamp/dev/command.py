"""The command `basecamp dev`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from basecamp.dev.home import Home
from basecamp.dev.interrupts import Interrupted, Interrupts
from basecamp.dev.progress import Progress
from basecamp.dev.startup import Request, Startup
from dataspec.errors import DliError

DEFAULT_HOME = Path(".basecamp")
DEFAULT_PORT = 8800
DEFAULT_AIRFLOW_PORT = 8080

_PATH = click.Path(file_okay=False, path_type=Path)
_PORT = click.IntRange(0, 65535)


@click.command(short_help="Run Basecamp with an Airflow of its own on this machine.")
@click.option(
    "--home",
    metavar="DIR",
    type=_PATH,
    default=DEFAULT_HOME,
    show_default=True,
    help="Where all that it keeps is: Airflow, store, logs.",
)
@click.option(
    "--port",
    metavar="N",
    type=_PORT,
    default=DEFAULT_PORT,
    show_default=True,
    help="Basecamp's port; 0 takes a free one.",
)
@click.option(
    "--airflow-port",
    metavar="N",
    type=_PORT,
    default=DEFAULT_AIRFLOW_PORT,
    show_default=True,
    help="Airflow's port; 0 takes a free one.",
)
@click.option(
    "--store", metavar="URL", help="The store: a folder or s3://bucket/prefix.  [default: HOME/store]"
)
@click.option(
    "--airflow-env",
    metavar="DIR",
    type=_PATH,
    help="Where Airflow is installed; homes may share one.  [default: HOME/airflow-env]",
)
def dev(home: Path, port: int, airflow_port: int, store: str | None, airflow_env: Path | None) -> None:
    """Run Basecamp with an Airflow of its own on this machine.

    Installs Airflow the first time (once for a home), starts it and Basecamp, and prints
    Ready with the addresses. All of it listens on this machine alone. Ctrl-C takes
    everything down; the next start on the same home finds all that was there.

    A dli.yaml in this folder is read for its connections.
    """
    asked = Request(
        home=Home(home.resolve()),
        project=Path.cwd(),
        port=port,
        airflow_port=airflow_port,
        store=store,
        airflow_env=airflow_env and airflow_env.resolve(),
    )
    progress = Progress(sys.stderr)
    try:
        with Interrupts() as interrupts:
            Startup(asked, interrupts, progress).run()
    except Interrupted as interrupted:
        progress.say("Stopped.")
        sys.exit(128 + interrupted.signum)
    except DliError as error:
        lines = [*error.text.splitlines(), *(error.detail or "").splitlines()]
        progress.say("Error: " + "\n       ".join(lines))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    dev()
