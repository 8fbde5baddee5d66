"""The distribution that holds this package, `dli`, `basecamp` and `dli_airflow`: its name, version and extras."""

from __future__ import annotations

from typing import Final

NAME: Final = "dli-basecamp"
"""The name on a package index, where `dli` and `basecamp` are other projects."""


def version() -> str:
    """Return the installed version.

    Raises:
        PackageNotFoundError: When the code runs without being installed.
    """
    from importlib.metadata import version as installed  # 10 ms, which only few commands need

    return installed(NAME)


def version_line(program: str) -> str:
    """Return what a program prints for ``--version``: its name, the version, and the distribution to upgrade."""
    return f"{program} {version()} ({NAME})"


def install_command(extra: str) -> str:
    """Return the shell command that installs the distribution with an extra."""
    return f"pip install '{NAME}[{extra}]'"
