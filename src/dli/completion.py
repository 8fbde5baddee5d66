"""Completion of commands and options in the shell: ``dli --install-completion``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, get_completion_class

from dataspec.errors import InternalError, InvalidUsage
from dataspec.files import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELLS = ("bash", "zsh", "fish")

# zsh's `compdef` exists only after compinit, which a bare .zshrc does not call.
_ZSH_INIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


class _BashComplete(BashComplete):
    """Completion in bash, which splits words at a colon and replaces what is behind the last one.

    The script joins them for dli, as in ``tag:hourly``, and cuts the replies for bash. The rest is click's own.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value word words=() ahead=
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#words[@]} -gt 0 && ( $word == :* || ${words[-1]} == *: ) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    word=${words[-1]}
    if [[ $COMP_WORDBREAKS == *:* ]]; then
        ahead=${word%%"${word##*:}"}
    fi
    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$(( ${#words[@]} - 1 )) %(complete_var)s=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("${value#"$ahead"}")
        fi
    done
    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


def install(shell: str | None, command: click.Command, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Install completion for a shell; a second time changes nothing.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``; the one that is running if not given.
        command: The command line that is completed.
        environ: Where the home folder and the shell are named.

    Returns:
        What was done, a line each.

    Raises:
        InvalidUsage: When the shell can't be told, or its files can't be written.
    """
    shell = _known(shell) if shell else _running_shell(environ)
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    script = _script(shell, command)
    try:
        if shell == "fish":
            done = [_write(config / "fish" / "completions" / "dli.fish", script)]
            return [*done, "Open a new shell to use it."]
        file = config / "dli" / f"completion.{shell}"
        startup = home / ".bashrc" if shell == "bash" else Path(environ.get("ZDOTDIR") or home) / ".zshrc"
        done = [_write(file, script), _append(startup, f'source "{file}"')]
    except OSError as error:
        raise InvalidUsage(f"Can't write {error.filename}: {error.strerror}.") from error
    return [*done, f"Open a new shell to use it, or run: source {startup}"]


def _script(shell: str, command: click.Command) -> str:
    kind = _BashComplete if shell == "bash" else get_completion_class(shell)
    if kind is None:
        raise InternalError(f"There is no completion for {shell}.")
    script = kind(command, {}, "dli", "_DLI_COMPLETE").source()
    return _ZSH_INIT + script if shell == "zsh" else script


def _write(path: Path, script: str) -> str:
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == script:
        return f"{path} is up to date."
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        path.write_text(script, encoding="utf-8")
    return f"Wrote {path}"


def _append(path: Path, line: str) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if line in text.splitlines():
        return f"{path} loads it already."
    separator = "" if not text or text.endswith("\n") else "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(f"{separator}\n# Completion of dli\n{line}\n")
    return f"Added a line to {path}"


def _running_shell(environ: Mapping[str, str]) -> str:
    if (parent := _parent_process()) in SHELLS:
        return parent
    return _known(Path(environ.get("SHELL", "")).name)


def _known(shell: str) -> str:
    if shell not in SHELLS:
        raise InvalidUsage(
            f"No completion for the shell '{shell or 'unknown'}'.",
            detail=f"Name one of these: dli --install-completion {'|'.join(SHELLS)}",
        )
    return shell


def _parent_process() -> str:
    """Return the name of the process that started this one, which is the shell at a prompt."""
    import subprocess

    try:
        found = subprocess.run(  # noqa: S603 - no part of it comes from outside
            ["ps", "-o", "comm=", "-p", str(os.getppid())],  # noqa: S607 - where ps is depends on the system
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return Path(found.stdout.strip()).name.removeprefix("-")
