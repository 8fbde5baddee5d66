"""The options that commands share (specification 20.6), one decorator each.

They are remembered in the command's :class:`~dli.session.Session`, and may stand before
the command as well as after it; the last one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MAX_WAIT_SECONDS = 120
MAX_LIMIT = 10_000

F = TypeVar("F", bound="Callable[..., Any]")

pass_session = click.make_pass_decorator(Session, ensure=True)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    session = context.ensure_object(Session)
    if value is not None and value is not False and parameter.name is not None:
        setattr(session, parameter.name, value)


def _remembered(*names: str, **attributes: Any) -> Callable[[F], F]:
    # Eager: the session is complete before the command's own options are read.
    return click.option(*names, callback=_remember, expose_value=False, is_eager=True, **attributes)


path_option = _remembered(
    "--path",
    metavar="DIR",
    help="The project's folder. [default: the nearest at or above this one with a dli.yaml, else this one]",
)
verbose_option = _remembered(
    "--verbose",
    "-v",
    is_flag=True,
    help="Show each SQL statement and each call to the server, and the traceback of an error.",
)


def format_option(*more: str) -> Callable[[F], F]:
    """Add ``--format`` with the formats that every command has, and perhaps more."""
    choices = click.Choice(["table", "json", *more])
    return _remembered("--format", "-f", type=choices, help="How to print data. [default: table]")


env_option = _remembered("--env", metavar="NAME", help="The environment in dli.yaml. [env var: DLI_ENV]")
server_url_option = _remembered(
    "--server-url",
    metavar="URL",
    help="Basecamp's address. [env var: DLI_SERVER_URL; default: http://127.0.0.1:8800]",
)
store_option = _remembered(
    "--store",
    "store_url",
    metavar="URL",
    help="The store: s3://bucket/prefix, or a folder. [env var: DLI_STORE_URL]",
)
wait_for_upstream_option = click.option(
    "--wait-for-upstream",
    is_flag=True,
    help="Wait for missing partitions of the upstream datasets, as a scheduled run does.",
)
adopt_option = click.option(
    "--adopt",
    is_flag=True,
    help="Take over a table of the dataset's name that the dataset has not built, once.",
)
full_refresh_option = click.option(
    "--full-refresh", is_flag=True, help="Build the table anew. An incremental one: by a backfill."
)
yes_for_backfills_option = click.option(
    "--yes", "-y", is_flag=True, help="Don't ask, even for more than 366 partitions."
)
with_upstream_option = click.option(
    "--with-upstream", is_flag=True, help="Build all upstream datasets as well, in order."
)
with_downstream_option = click.option(
    "--with-downstream", is_flag=True, help="Build all downstream datasets as well, in order."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Check only; start nothing.")


def dataset_argument(function: F) -> F:
    """Add ``DATASET``, which the shell completes with the names in the project."""
    return click.argument("dataset", shell_complete=complete_dataset)(function)


def datasets_argument(function: F) -> F:
    """Add ``DATASET...``: one or several names."""
    argument = click.argument(
        "datasets", metavar="DATASET...", nargs=-1, required=True, shell_complete=complete_dataset
    )
    return argument(function)


yes_for_patterns_option = click.option("--yes", "-y", is_flag=True, help="With a pattern: don't ask.")


def complete_dataset(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the datasets of the project whose names begin so; files where a path is begun."""
    from click.shell_completion import CompletionItem

    from dataspec.errors import DliError

    if context.params.get("select") or context.params.get("exclude"):  # a further word of the option
        from dli.selection.options import complete_selection

        return complete_selection(context, parameter, incomplete)
    if "/" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    try:
        names = context.ensure_object(Session).project.names()
    except (DliError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def common_options(function: F) -> F:
    """Add what every command takes: ``--format``, ``--path``, ``--env`` and ``--verbose``."""
    return options_with_formats()(function)


def options_with_formats(*more: str) -> Callable[[F], F]:
    """Add the common options, with more formats than a table and JSON."""

    def add(function: F) -> F:
        return format_option(*more)(path_option(env_option(verbose_option(function))))

    return add


def server_options(function: F) -> F:
    """Add what every command takes that asks the server."""
    return format_option()(server_url_option(path_option(env_option(verbose_option(function)))))


def source_option(*, everything: bool) -> Callable[[F], F]:
    """Add ``--source`` (specification 20.8): a filter with ``all``, or which of a dataset's two specs is meant."""
    if everything:
        text = "Only those that code or a person registered. [default: all]"
        choices = click.Choice(["code", "manual", "all"])
        return click.option("--source", type=choices, callback=_without_all, help=text)
    text = "The spec of this source. [default: the effective one]"
    return click.option("--source", type=click.Choice(["code", "manual"]), help=text)


def wait_options(function: F) -> F:
    """Add ``--no-wait`` and ``--wait-seconds``: how long the server may wait for Airflow."""
    no_wait = click.option("--no-wait", is_flag=True, help="Don't wait until Airflow has loaded the dataset.")
    seconds = click.option(
        "--wait-seconds",
        type=click.IntRange(1, MAX_WAIT_SECONDS),
        default=60,
        show_default=True,
        metavar="N",
        help="How long to wait for Airflow to load it.",
    )
    return no_wait(seconds(function))


class _WaitSeconds(click.FloatRange):
    """Seconds to wait at most, which only ``--wait`` takes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is not None and not ctx.params.get("wait"):
            raise click.UsageError("--timeout is for --wait.", ctx)
        return super().convert(value, param, ctx)


def follow_options(
    followed: str = "run", ends: str = "its end", completed: str = "it completed"
) -> Callable[[F], F]:
    """Add ``--wait`` and its ``--timeout``."""
    wait = click.option(
        "--wait",
        is_flag=True,
        is_eager=True,
        help=f"Follow the {followed} to {ends}; exit status 1 unless {completed}.",
    )
    timeout = click.option(
        "--timeout",
        type=_WaitSeconds(min=0, min_open=True),
        metavar="SECONDS",
        help=f"With --wait: end the command after this time; {'each' if 'runs' in followed else 'the'} {followed.rstrip('s')} continues.",
    )

    def add(function: F) -> F:
        return wait(timeout(function))

    return add


def several_option(*names: str, choices: Iterable[str] = (), **attributes: Any) -> Callable[[F], F]:
    """Add a filter that takes several values, repeated or separated by commas; None if it is not given."""
    choice = click.Choice(list(choices), case_sensitive=False) if choices else None
    if choice is not None:
        attributes["metavar"] = f"[{'|'.join(choice.choices)}]"

    def split(
        context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
    ) -> list[str] | None:
        parts = [part.strip() for value in values for part in value.split(",")]
        return [choice.convert(part, parameter, context) if choice else part for part in parts] or None

    return click.option(*names, multiple=True, callback=split, **attributes)


datasets_option = several_option(
    "--dataset",
    "-d",
    "datasets",
    metavar="NAME",
    help="Only this dataset; a pattern with * matches several, and A,B takes both.",
)


def limit_option(listed: str, default: int = 20) -> Callable[[F], F]:
    """Add ``--limit``, the maximum number of items of a list that may be long."""
    return click.option(
        "--limit",
        "-n",
        type=click.IntRange(1, MAX_LIMIT),
        default=default,
        show_default=True,
        metavar="N",
        help=f"The maximum number of {listed}.",
    )


graph_form_option = click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["tree", "mermaid", "dot", "json"]),
    help="How to print it. [default: tree]",
)

run_dataset_option = click.option(
    "--dataset",
    "-d",
    metavar="NAME",
    help="The run's dataset, where Airflow made the run id and other datasets have it too.",
)


def param_option(function: F) -> F:
    """Add ``--param``, whose values arrive as a dictionary of texts."""
    option = click.option(
        "--param",
        "-p",
        "parameters",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_pairs,
        help="A parameter of the run; may be repeated. A list is A,B or a JSON array. execution_date may be "
        "today, yesterday or 7d (seven days ago), by the clock of the schedule's time zone.",
    )
    return option(function)


def _without_all(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    return None if value == "all" else value


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"'{text}' is not KEY=VALUE.", context, parameter)
        if key.strip() in pairs:
            raise click.BadParameter(f"'{key.strip()}' is given twice.", context, parameter)
        pairs[key.strip()] = value
    return pairs
