"""The Python of Airflow's environment: the one that runs, or another of this machine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from basecamp.dev.lines import Line
from dataspec.errors import InvalidSettings, InvalidUsage

_OLDEST = "3.11"
"""The first version of Python that `dli` runs on."""
_DESCRIBE = "import sys; print(sys.version, sys.base_prefix, sep='\\0', end='')"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that environments are made with."""

    program: str
    identity: str
    """Its version and place; changes when an environment of it has to be made anew."""


def interpreter_for(line: Line, running: tuple[int, int] = sys.version_info[:2]) -> Interpreter:
    """Return the running Python, or one that uv finds here where it is too new for a line of Airflow.

    Args:
        line: The line.
        running: The version of the running Python.

    Raises:
        InvalidUsage: When there is none that the line runs on.
        InvalidSettings: When uv is missing.
    """
    if running < line.python_before:
        return Interpreter(sys.executable, f"{sys.version}\0{sys.base_prefix}")
    before = ".".join(map(str, line.python_before))
    program = _output(
        uv(), "python", "find", "--system", "--no-project", "--no-python-downloads", f">={_OLDEST},<{before}"
    )
    if program is None:
        raise InvalidUsage(
            f"Airflow {line.name} does not run on Python {running[0]}.{running[1]}.",
            detail=f"Install a Python from {_OLDEST} on and before {before} beside it; basecamp dev finds it on PATH.",
        )
    return Interpreter(program, _output(program, "-c", _DESCRIBE) or program)


def uv() -> str:
    """Return uv's program.

    Raises:
        InvalidSettings: When it is not installed.
    """
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise InvalidSettings(
            "basecamp dev needs uv to install Airflow.", detail="Install it: pip install 'dli[dev]'"
        ) from None


def _output(*command: str) -> str | None:
    """Return what a command prints; None where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv, or a Python that it found
    return done.stdout.strip() if done.returncode == 0 else None
