"""``${VARIABLE}`` in settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]{0,1000}))?\})")


CREDENTIALS = frozenset({"DLI_TOKEN"})
"""Variables that no file of a project may name: they go to a server that the person chose."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Fill in ``${VAR}`` and ``${VAR:-default}``; ``$$`` stands for one ``$``.

    Raises:
        KeyError: With its name, when a variable is not set and has no default.
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
    """Return the names of the variables that a text is filled in with."""
    return {match["name"] for match in _VARIABLE.finditer(text) if match["name"]}
