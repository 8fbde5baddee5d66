"""Settings files: ``dli.yaml`` and its kin, checked key by key at their place in the file.

Loaded only where such a file exists, since reading YAML costs a quick command a fifth of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidSettings, InvalidSpec
from dataspec.problems import Problem, nearest
from dataspec.variables import expand
from dataspec.yaml_document import Document, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Keys = tuple[str, ...]

_ANY = "*"
_TEXT, _NUMBER, _SCALAR = "text", "a number", "text, a number, true or false"
_OVERRIDES: dict[str, Any] = {
    "datasets_dir": _TEXT,
    "user": _TEXT,
    "server": {"url": _TEXT, "timeout_seconds": _NUMBER},
    "store": {"url": _TEXT},
    "connections": {_ANY: {"url": _TEXT, "options": {_ANY: _SCALAR}}},
}
_SCHEMA: dict[str, Any] = {"name": _TEXT, **_OVERRIDES, "environments": {_ANY: _OVERRIDES}}
_TYPES: dict[str, tuple[type, ...]] = {
    _TEXT: (str,),
    # Text as well: it may be a ${VARIABLE}.
    _NUMBER: (int, float, str),
    _SCALAR: (str, int, float, bool),
}


class SettingsFile:
    """One settings file, read and checked.

    Args:
        path: Where it is.
        shown: What it is called in messages.

    Raises:
        InvalidSettings: With every problem, each at its line and column.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self.shown = shown
        self._document = _read(path, shown)
        self._data: dict[str, Any] = self._document.data or {}
        if problems := list(_problems(self._document, self._data, _SCHEMA, ())):
            raise InvalidSettings(f"Invalid settings in {shown}.", detail="\n".join(map(str, problems)))

    @property
    def environments(self) -> list[str]:
        """The environments that this file defines or overrides."""
        return list(self._data.get("environments") or {})

    def get(self, keys: Keys) -> tuple[Any, str] | None:
        """Return the value at a path of keys with its place, or None if the file does not set it."""
        value: Any = self._data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
        line, column = self._document.position(keys)
        return value, f"{self.shown}:{line}:{column}"

    def names(self, keys: Keys) -> list[str]:
        """Return the keys of the mapping at a path; none if there is no mapping."""
        found = self.get(keys)
        return list(found[0]) if found and isinstance(found[0], dict) else []


def expanded(text: str, environ: Mapping[str, str], *, where: str) -> str:
    """Fill in ``${VAR}`` and ``${VAR:-default}``; ``$$`` stands for one ``$``.

    Raises:
        InvalidSettings: When a variable is not set and has no default.
    """
    try:
        return expand(text, environ)
    except KeyError as missing:
        name = missing.args[0]
        raise InvalidSettings(
            f"{where}: the variable {name} is not set.",
            detail=f"Set it, or write ${{{name}:-DEFAULT}}.",
        ) from None


def _read(path: Path, shown: str) -> Document:
    try:
        document = read_document(path.read_bytes(), shown)
    except InvalidSpec as error:
        # A file of comments alone sets nothing, which is no mistake.
        if _is_blank(path):
            return Document(shown, {}, {}, {}, "")
        raise InvalidSettings(f"Invalid settings in {shown}.", detail=error.detail) from None
    except OSError as error:
        raise InvalidSettings(f"Can't read {shown}: {error.strerror}.") from error
    if not isinstance(document.data, dict | None):
        problem = document.problem((), "a settings file is a mapping of keys to values.")
        raise InvalidSettings(f"Invalid settings in {shown}.", detail=str(problem))
    return document


def _is_blank(path: Path) -> bool:
    lines = path.read_bytes().splitlines()
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in lines)


def _problems(
    document: Document, data: dict[str, Any], schema: dict[str, Any], at: Keys
) -> Iterator[Problem]:
    for key, value in data.items():
        keys = (*at, key)
        expected = schema.get(key, schema.get(_ANY))
        if expected is None:
            hint = nearest(key, schema) or f"Known keys here: {', '.join(schema)}."
            yield document.problem(keys, f"unknown key '{key}'.", hint=hint, at_key=True)
        elif value is None:
            continue
        elif isinstance(expected, dict):
            if isinstance(value, dict):
                yield from _problems(document, value, expected, keys)
            else:
                yield document.problem(keys, f"'{'.'.join(keys)}': expected keys and values, got {value!r}.")
        elif not isinstance(value, _TYPES[expected]) or (expected != _SCALAR and isinstance(value, bool)):
            yield document.problem(keys, f"'{'.'.join(keys)}': expected {expected}, got {value!r}.")
