"""The reference in ``docs/cli.md``, written from the commands themselves.

``python -m dli.reference docs/cli.md`` writes it anew between its two marks;
``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BEGIN = "<!-- The reference: written by `python -m dli.reference docs/cli.md`. -->"
END = "<!-- The end of the reference. -->"
WIDTH = 100


def commands(
    command: click.Command = cli, context: click.Context | None = None
) -> Iterator[tuple[click.Context, click.Command]]:
    """Yield every command with its context, groups before what is in them."""
    context = context or click.Context(
        command, info_name="dli", terminal_width=WIDTH, **command.context_settings
    )
    yield context, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from commands(inner, click.Context(inner, info_name=name, parent=context))


def reference() -> str:
    """Return the help of every command, in Markdown."""
    return "\n\n".join(
        f"### `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```"
        for context, command in commands()
    )


def with_reference(page: str) -> str:
    """Return a page with the reference between its marks made anew.

    Raises:
        ValueError: When the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the reference, or check it with ``--check``; returns the exit status."""
    check = "--check" in arguments
    (name,) = (argument for argument in arguments if argument != "--check")
    page = Path(name)
    old = page.read_text(encoding="utf-8")
    new = with_reference(old)
    if check:
        return int(old != new)
    page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
