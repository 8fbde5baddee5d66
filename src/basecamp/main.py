"""The command ``basecamp``: ``serve`` for production, ``dev`` for one machine, ``token`` for API tokens."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from dataspec.distribution import install_command, version_line
from dataspec.errors import DliError, InvalidSettings

_ON_DEMAND = {"dev": "basecamp.dev.command", "token": "basecamp.server.token_command"}
"""The modules of commands that are loaded when they are used: a production server needs neither."""


class _Commands(click.Group):
    """Loads commands on demand, and shows an error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names."""
        return sorted([*_ON_DEMAND, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name in _ON_DEMAND:
            try:
                command: click.Command = getattr(import_module(_ON_DEMAND[cmd_name]), cmd_name)
            except ModuleNotFoundError as error:
                return _unusable(cmd_name, error)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end the process with one line for an error."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            self._fail(_missing_library(error))
        except DliError as error:
            self._fail(error)

    @staticmethod
    def _fail(error: DliError) -> NoReturn:
        detail = f" {error.detail}" if error.detail else ""
        click.echo(f"Error: {error.title}{detail}".replace("\n", " "), err=True)
        sys.exit(error.exit_status)


def _unusable(name: str, error: ModuleNotFoundError) -> click.Command:
    """Return a command that names the library which it lacks, so that the help still lists it."""

    def refuse() -> None:
        raise _missing_library(error)

    return click.Command(
        name,
        callback=refuse,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
        short_help="(needs the extra 'server')",
    )


def _missing_library(error: ModuleNotFoundError) -> DliError:
    """Return what to install for a library that the extra `server` brings."""
    return InvalidSettings(
        f"This command needs the package '{error.name}'.",
        detail=f"It comes with the extra 'server': {install_command('server')}",
    )


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
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; beyond loopback only with sign-in.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="Port; 0 picks a free one."
)
@click.option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate and its chain, in PEM.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key, in PEM, without a password.")
def serve(host: str, port: int, tls_cert: str | None, tls_key: str | None) -> None:
    """Run the server, configured by environment variables.

    BASECAMP_STORE_URL and BASECAMP_AIRFLOW_URL are required, and credentials for Airflow:
    BASECAMP_AIRFLOW_USERNAME and BASECAMP_AIRFLOW_PASSWORD, or BASECAMP_AIRFLOW_TOKEN, or
    BASECAMP_AIRFLOW_AUTH=none for an Airflow without authentication.

    BASECAMP_AUTH=tokens, oidc or tokens,oidc turns sign-in on; without it every caller may do everything, and the
    server listens on loopback alone.
    """
    from basecamp.server.settings import Settings, check_host
    from basecamp.server.tls import Tls

    settings = Settings.from_environment(os.environ)
    check_host(host, settings)
    tls = Tls.of(tls_cert, tls_key)
    from basecamp.server.serving import Serving  # slow to import; report invalid settings first

    Serving.prepare(settings, host, port, tls=tls).run()


def main() -> None:
    """Run the command."""
    basecamp(prog_name="basecamp")
