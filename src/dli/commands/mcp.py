"""``dli mcp`` (docs/mcp.md)."""

from __future__ import annotations

import click

from dataspec.distribution import install_command
from dataspec.errors import InvalidUsage
from dli.options import pass_session, server_options
from dli.session import Session


@click.command("mcp")
@click.option(
    "--allow-changes", is_flag=True, help="Also start, retry, stop, backfill and pause; else it only reads."
)
@server_options
@pass_session
def command(session: Session, *, allow_changes: bool) -> None:
    r"""Serve the datasets to an assistant by the Model Context Protocol.

    An assistant starts this command and speaks with it by standard input and output. It sees what
    you may see: the requests have your credential. For Claude Code:

    \b
      claude mcp add basecamp -- dli mcp --server https://basecamp.example.com
    """
    try:
        from dli.mcp.server import build_server
    except ImportError as error:
        raise InvalidUsage(
            "The MCP server is not installed.", detail=f"Install it: {install_command('mcp')}"
        ) from error
    from dli.client.async_client import AsyncClient

    settings, credential = session.settings, session.credential
    client = AsyncClient(
        settings.server_url,
        token=credential.token if credential else "",
        user=settings.user,
        timeout_seconds=settings.timeout_seconds,
    )
    build_server(client, allow_changes=allow_changes).run()
