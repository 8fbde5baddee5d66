"""Read the environment: ``${VARIABLE}`` in settings, and the folder of the user's own settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]{0,1000}))?\})")

CREDENTIALS = frozenset({"DLI_TOKEN"})
"""Variables that no file of a project may use: their values go only to the server that the user chose."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace ``${VAR}`` and ``${VAR:-default}`` with values of the environment, and ``$$`` with ``$``.

    Raises:
        KeyError: With the variable's name, when it is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            return "$"
        if found := environ.get(name) or default:
            return found
        return "" if default is not None else environ[name]

    return _VARIABLE.sub(value, text)


def variables_in(text: str) -> set[str]:
    """Return the names of the variables that a text uses."""
    return {match["name"] for match in _VARIABLE.finditer(text) if match["name"]}


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's settings and permissions, which apply to every project."""
    folder = environ.get("XDG_CONFIG_HOME")
    base = Path(folder) if folder else Path(environ.get("HOME") or Path.home()) / ".config"
    return base / "dli"
