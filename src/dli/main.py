"""The command line's entry: the commands, and how every error ends."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import (
    DliError,
    InternalError,
    InvalidUsage,
    NotFound,
    UnknownParameter,
)
from dataspec.keys import shown_key
from dataspec.tracing import flush, trace_span
from dli.groups import LazyGroup, help_width
from dli.options import server_options
from dli.session import INTERRUPTED, Session, say

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_ERRORS = {errno.EPIPE, errno.ENOSPC, errno.EIO}
"""What goes wrong where the output goes to, not in the program."""

_REFUSALS = {
    errno.EACCES: "Change its permissions, or choose another place.",
    errno.EPERM: "Change its permissions, or choose another place.",
    errno.EROFS: "It is on a read-only file system: choose another place.",
    errno.ENOSPC: "Make room on that disk, or choose another place.",
    errno.EDQUOT: "Your quota is used up: make room, or choose another place.",
    errno.EISDIR: "It is a folder, and a file is needed: remove or rename it.",
    errno.ENOTDIR: "A part of the path is a file, and a folder is needed: remove or rename it.",
    errno.EEXIST: "It exists already, and is not of the kind that is needed: remove or rename it.",
    errno.EMFILE: "Raise the limit of open files: ulimit -n",
}
"""The next step for each refusal of the system."""

_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
"""The characters by which Python keeps bytes that are not UTF-8; they can be neither sent nor shown."""

COMMANDS = {
    "init": ("dli.commands.init", "Create a project."),
    "workflow": ("dli.commands.workflow", "Run datasets on the server; watch and stop the runs."),
    "dataset": ("dli.commands.dataset", "Check Dataset Specs and register them."),
    "import": ("dli.commands.importing", "Turn projects of other tools into specs."),
    "code": ("dli.commands.code", "Publish the project to the store from CI/CD."),
    "notifications": ("dli.commands.notifications", "Test the notification channels."),
    "mcp": ("dli.commands.mcp", "Serve the datasets to an assistant by the Model Context Protocol."),
    "audit": ("dli.commands.audit", "Show who changed what on the server."),
    "config": ("dli.commands.config", "Show the settings and their origins; grant a project's permissions."),
    "login": ("dli.commands.login", "Sign in to the server."),
    "logout": ("dli.commands.logout", "Sign out of the server; its token is revoked."),
    "whoami": ("dli.commands.whoami", "Show your name and your roles at the server."),
    "version": ("dli.commands.version", "Show dli's version and distribution."),
}


HELP = """Run SQL datasets on Airflow from one YAML file each.

\b
Start here:
  dli init                            create a project
  dli dataset run NAME -p KEY=VALUE   run a dataset on this machine
  dli dataset validate                check the specs of this project
  dli dataset register NAME           send one to the server
  dli workflow run NAME -p KEY=VALUE  start a run of it
  dli workflow list                   see what is scheduled
"""


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value and not context.resilient_parsing:
        from dataspec.distribution import version_line

        click.echo(version_line("dli"))
        context.exit()


def _install_completion(context: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    if value and not context.resilient_parsing:
        from dli.completion import install

        click.echo("\n".join(install(None if value == "detect" else value, cli)))
        context.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    name="dli",
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show dli's version and exit.",
)
@click.option(
    "--install-completion",
    is_flag=False,
    flag_value="detect",
    is_eager=True,
    expose_value=False,
    callback=_install_completion,
    metavar="[bash|zsh|fish]",
    help="Install completion for the shell, by default the one that is running, and exit.",
)
@server_options
def cli() -> None:
    """Hold the options that may stand before a command; the help is HELP."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows ``dli``; the process's own arguments if not given.

    Returns:
        The exit status (specification 20.4).
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _keep_output_going()
    session = Session()
    try:
        with trace_span("dli", _traced_name(arguments), parent=os.environ.get("TRACEPARENT")) as span:
            status = _run(list(arguments), session)
            if span:
                span.set_attribute("process.exit.code", status)
        flush()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output had enough of it, as `head` does.
        _discard_output()
        return 0
    except OSError as error:
        say(f"Error: The output can't be written: {error.strerror}.")
        _discard_output()
        return 1
    return status


def _traced_name(arguments: Sequence[str]) -> str:
    """Return the command without its arguments, as a trace shows it."""
    words = [word for word in arguments[:2] if word.replace("-", "").isalpha() and not word.startswith("-")]
    return " ".join(["dli", *words]) if words and words[0] in COMMANDS else "dli"


def _run(arguments: list[str], session: Session) -> int:
    if wrong := next(filter(_NOT_UTF_8.search, arguments), None):
        say(f"Error: An argument is not valid UTF-8: {wrong}")
        return InvalidUsage.exit_status
    try:
        status = cli.main(
            arguments, prog_name="dli", standalone_mode=False, obj=session, terminal_width=help_width()
        )
    except DliError as error:
        if isinstance(error, InternalError):
            _show_traceback(session)
        session.explain(error)
        say(error_text(error))
        if isinstance(error, NotFound) and session.is_outside_project:
            say("       No dli.yaml in this folder or above. To start a project here: dli init")
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # After Ctrl-C at a prompt the line is still open; elsewhere click has ended it.
        say("Interrupted." if error.__cause__ else "\nInterrupted.")
        return INTERRUPTED
    except OSError as error:
        if error.filename is None and error.errno in OUTPUT_ERRORS:
            raise
        return _refused(error, session) if error.strerror else _unexpected(error, session)
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets one line, not a traceback
        return _unexpected(error, session)
    finally:
        session.close()
    return status if isinstance(status, int) else 0


def error_text(error: DliError) -> str:
    """Return an error as the command line prints it: ``Error: ``, the text, then the detail, aligned.

    The one exception is an unknown parameter, whose second line stands at the margin
    (specification 8.2; compare 16.6).
    """
    margin = "" if isinstance(error, UnknownParameter) else " " * len("Error: ")
    lines = [*error.text.splitlines(), *(error.detail or "").splitlines()]
    return "Error: " + f"\n{margin}".join(lines)


def _refused(error: OSError, session: Session) -> int:
    """Print what the system refused: a file without permission, a full disk, a folder in a file's place."""
    if _show_traceback(session):
        return 1
    named = f"{shown_key(str(error.filename))} can't be used" if error.filename is not None else ""
    say(f"Error: {named or 'The system refused an operation'}: {error.strerror}.")
    if (hint := _REFUSALS.get(error.errno or 0)) is not None:
        say(f"       {hint}")
    return 1


def _unexpected(error: Exception, session: Session) -> int:
    if _show_traceback(session):
        return 1
    say(f"Error: Unexpected {type(error).__name__}: {error}")
    say("       This is a mistake in dli. The same command with --verbose shows where.")
    return 1


def _show_traceback(session: Session) -> bool:
    if session.verbose:
        import traceback

        traceback.print_exc()
    return session.verbose


def _keep_output_going() -> None:
    """Print what the terminal's encoding lacks as an escape, not as a failure."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Let the interpreter's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
