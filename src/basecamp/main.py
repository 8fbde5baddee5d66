"""The command ``basecamp``: ``serve`` for production, ``dev`` for one machine."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dataspec.distribution import version_line
from dataspec.errors import DliError


class _Commands(click.Group):
    """Loads ``dev`` on demand: a production server does not need it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names."""
        return ["dev", *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name == "dev":
            from basecamp.dev.command import dev

            return dev
        return super().get_command(ctx, cmd_name)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(version_line("basecamp"))
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def basecamp() -> None:
    """Basecamp, the server that registers datasets and runs them on Airflow."""


@basecamp.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback only.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="Port; 0 picks a free one."
)
def serve(host: str, port: int) -> None:
    """Run the server, configured by environment variables.

    BASECAMP_STORE_URL and BASECAMP_AIRFLOW_URL are required, and credentials for Airflow:
    BASECAMP_AIRFLOW_USERNAME and BASECAMP_AIRFLOW_PASSWORD, or BASECAMP_AIRFLOW_TOKEN, or
    BASECAMP_AIRFLOW_AUTH=none for an Airflow without authentication.
    """
    from basecamp.server.settings import Settings, check_host

    try:
        check_host(host)
        settings = Settings.from_environment(os.environ)
        from basecamp.server.serving import Serving  # slow to import; report invalid settings first

        Serving.prepare(settings, host, port).run()
    except DliError as error:
        detail = f" {error.detail}" if error.detail else ""
        click.echo(f"Error: {error.title}{detail}".replace("\n", " "), err=True)
        sys.exit(error.exit_status)


def main() -> None:
    """Run the command."""
    basecamp(prog_name="basecamp")
