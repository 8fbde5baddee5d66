"""Groups of commands whose modules are loaded only when a command of theirs is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HELP_WIDTH = 100
DEFAULT_HELP_WIDTH = 80


def help_width() -> int:
    """Return how wide help is written: as the terminal, up to a width that is easy to read.

    click finds it out as well, by way of modules that cost a tenth of ``dli --help``.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return min(int(columns), MAX_HELP_WIDTH)
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT_HELP_WIDTH, MAX_HELP_WIDTH)
    except (OSError, ValueError):
        return DEFAULT_HELP_WIDTH


class LazyGroup(click.Group):
    """A group that knows its commands by name, one line of help, and module.

    Args:
        lazy: For each command, in the order of the help: the module that defines it as
            ``command``, and its line of help.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in the order of the help."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; an unknown one is answered with the nearest. None for an option."""
        if cmd_name not in self.lazy:
            if cmd_name.startswith("-") or ctx.resilient_parsing:
                return None
            from dataspec.problems import nearest

            hint = nearest(cmd_name, self.lazy) or f"Commands: {', '.join(self.lazy)}."
            ctx.fail(f"No such command '{cmd_name}'. {hint}")
        command: click.Command = import_module(self.lazy[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete the name of a command without loading any."""
        from click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=text)
            for name, (_, text) in self.lazy.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]
