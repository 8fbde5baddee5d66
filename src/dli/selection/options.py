"""The options that select datasets, as one decorator: a command receives a :class:`~dli.selection.selection.Selection`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from dli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from dli.project.project import Project

F = TypeVar("F", bound="Callable[..., Any]")

_SELECT = (
    "Only these datasets: a name, a pattern such as 'sales.*', tag:TAG, path:PATH; with what is upstream (+NAME), "
    "downstream (NAME+) or at most two steps upstream (2+NAME); A,B is what fits both."
)
_EXCLUDE = "Without these datasets; the same words as for --select."


class _Words(click.Option):
    """An option that may be repeated, and takes all words up to the next option: ``--select a b``."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the option take further words; click's own options take a fixed number."""
        super().add_to_parser(parser, ctx)
        option = parser._long_opt[max(self.opts, key=len)]  # noqa: SLF001 - click has no other way
        take = option.process

        def process(value: Any, state: Any) -> None:
            take(value, state)
            while state.rargs and not state.rargs[0].startswith("-"):
                take(state.rargs.pop(0), state)

        option.process = process


def selection_options(function: F) -> F:
    """Add ``--select``, ``--exclude`` and ``--changed``, which arrive as the argument ``selection``."""

    @wraps(function)
    def with_selection(
        *args: Any, select: tuple[str, ...], exclude: tuple[str, ...], changed: str | None, **given: Any
    ) -> Any:
        from dli.selection.selection import Selection

        return function(*args, selection=Selection(select, exclude, changed), **given)

    command: Any = with_selection
    for option in (
        _changed_option,
        _words_option(_EXCLUDE, "--exclude"),
        _words_option(_SELECT, "--select", "-s"),
    ):
        command = option(command)
    return cast("F", command)


_changed_option = click.option(
    "--changed",
    is_flag=False,
    flag_value="HEAD",
    metavar="[REF]",
    help="Only datasets whose YAML or SQL differs from a Git ref, and what is downstream of them. [default REF: HEAD]",
)


def _words_option(text: str, *names: str) -> Callable[[F], F]:
    return click.option(
        *names, cls=_Words, multiple=True, metavar="WORD...", shell_complete=complete_selection, help=text
    )


def complete_selection(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the words of a selection that begin so: names, tags and paths of the project."""
    from click.shell_completion import CompletionItem

    from dataspec.errors import DliError

    lead, plus, begun = incomplete.rpartition("+")
    if "/" in begun and not begun.startswith("path:"):
        return [CompletionItem(begun, type="file")]
    try:
        words = _words_of(context.ensure_object(Session).project, begun)
    except (DliError, OSError):
        return []
    return [CompletionItem(f"{lead}{plus}{word}") for word in words if word.startswith(begun)]


def _words_of(project: Project, begun: str) -> list[str]:
    if begun.startswith("path:"):
        from dli.project.paths import shown

        paths = (path for file in project.files for path in (file.parent, file))
        return [f"path:{path}" for path in dict.fromkeys(map(shown, paths))]
    tags = [f"tag:{tag}" for tag in project.tags()]
    return tags if begun.startswith("tag:") else [*project.names(), *tags]
