"""Settings files: ``dli.yaml``, ``.dli.local.yaml`` and the user's own, checked key by key.

Loaded only if such a file exists: reading YAML costs a quick command a fifth of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dataspec.environment import CREDENTIALS, expand, variables_in
from dataspec.errors import InvalidSettings, InvalidSpec
from dataspec.problems import Problem, nearest
from dataspec.spec.yaml_reader import Document, read_document
from dli.config.settings import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Keys = tuple[str, ...]

_ANY = "*"
_TEXT, _NUMBER, _SCALAR, _BOOLEAN = "text", "a number", "text, a number, true or false", "true or false"


class _Key(NamedTuple):
    """The type of a setting, and whether a project's file may use variables in it (specification 21.6)."""

    type: str
    expands: bool = False
    """Whether a project's file may use variables. The user's own file may use them everywhere."""


# The values of keys without `expands` are sent to a server, or name one. With variables in them, a project's
# author could get the values of the user's variables from any command.
_OVERRIDES: dict[str, Any] = {
    "datasets_dir": _Key(_TEXT, expands=True),
    "user": _Key(_TEXT),
    "server": {"url": _Key(_TEXT), "timeout_seconds": _Key(_NUMBER)},
    "store": {"url": _Key(_TEXT)},
    # Used only by `dli dataset run` and `basecamp dev`; sending to other machines needs a permission (dataspec.trust).
    "connections": {
        _ANY: {
            "url": _Key(_TEXT, expands=True),
            "options": {_ANY: _Key(_SCALAR, expands=True)},
            "protected": _Key(_BOOLEAN),
        }
    },
}
_SCHEMA: dict[str, Any] = {
    "name": _Key(_TEXT, expands=True),
    **_OVERRIDES,
    "environments": {_ANY: {**_OVERRIDES, "schema": _Key(_TEXT, expands=True)}},
}
_TYPES: dict[str, tuple[type, ...]] = {
    _TEXT: (str,),
    # Text as well: it may be a ${VARIABLE}.
    _NUMBER: (int, float, str),
    _SCALAR: (str, int, float, bool),
    _BOOLEAN: (bool,),
}


class SettingsFile:
    """One settings file, read and checked.

    Args:
        path: The file.
        shown: Its path in messages.
        of_project: Whether it belongs to the project, not to the user.

    Raises:
        InvalidSettings: With every problem, each with line and column.
    """

    def __init__(self, path: Path, shown: str, *, of_project: bool) -> None:
        self.shown = shown
        self.of_project = of_project
        self._document = _read(path, shown)
        self._data: dict[str, Any] = self._document.data or {}
        if problems := list(_problems(self._document, self._data, _SCHEMA, ())):
            raise InvalidSettings(f"Invalid settings in {shown}.", detail="\n".join(map(str, problems)))

    @property
    def environments(self) -> list[str]:
        """The environments that this file defines or overrides."""
        return list(self._data.get("environments") or {})

    def get(self, keys: Keys) -> Place | None:
        """Return the value at a path of keys; None if the file does not set it."""
        value: Any = self._data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
        line, column = self._document.position(keys)
        return Place(self, keys, value, f"{self.shown}:{line}:{column}")

    def names(self, keys: Keys) -> list[str]:
        """Return the keys of the mapping at a path; none if there is no mapping."""
        found = self.get(keys)
        return list(found.value) if found and isinstance(found.value, dict) else []


class Place(NamedTuple):
    """A setting's position in a file."""

    file: SettingsFile
    keys: Keys
    """The keys from the top of the file."""
    value: Any
    """The value as written."""
    origin: str
    """File, line and column."""

    @property
    def variables(self) -> set[str]:
        """The variables in the value."""
        return variables_in(self.value) if isinstance(self.value, str) else set()

    def expanded(self, environ: Mapping[str, str]) -> Any:
        """Return the value with ``${VAR}`` and ``${VAR:-default}`` replaced; ``$$`` is a literal ``$``.

        Raises:
            InvalidSettings: When a variable is not allowed here, or is not set and has no default.
        """
        if not isinstance(self.value, str) or "$" not in self.value:
            return self.value
        self._check_variables()
        try:
            return expand(self.value, environ)
        except KeyError as missing:
            name = missing.args[0]
            raise InvalidSettings(
                f"{self.origin}: the variable {name} is not set.",
                detail=f"Set it, or write ${{{name}:-DEFAULT}}.",
            ) from None

    def _check_variables(self) -> None:
        """Refuse the variables that a project's file may not use."""
        if not self.file.of_project:
            return
        name = ".".join(self.keys[2:] if self.keys[0] == "environments" else self.keys)
        own = VARIABLES.get(name)
        # The setting's own variable reveals nothing: if it is set, it overrides every file.
        refused = self.variables & CREDENTIALS if _key_at(self.keys).expands else self.variables - {own}
        if refused:
            raise InvalidSettings(
                f"{self.origin}: a project's file may not use the variable {', '.join(sorted(refused))} in '{name}'.",
                detail="Its value would be sent to a server that the project names.\n"
                + (f"Write the value itself, or set {own}." if own else "Use another variable."),
            )


def _key_at(keys: Keys) -> _Key:
    """Return the schema of a key."""
    found: Any = _SCHEMA
    for part in keys:
        found = found.get(part) or found[_ANY]
    key: _Key = found
    return key


def _read(path: Path, shown: str) -> Document:
    try:
        document = read_document(path.read_bytes(), shown)
    except InvalidSpec as error:
        # A file with only comments is valid.
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
                yield document.problem(
                    keys, f"'{'.'.join(keys)}': expected keys and values, got {_shown(keys, value)}."
                )
        elif not isinstance(value, _TYPES[expected.type]) or (
            isinstance(value, bool) and bool not in _TYPES[expected.type]
        ):
            yield document.problem(
                keys, f"'{'.'.join(keys)}': expected {expected.type}, got {_shown(keys, value)}."
            )


def _shown(keys: Keys, value: Any) -> str:
    """Return a value without the secrets in it, for a problem."""
    from dli.config.masking import masked  # for an error alone

    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, str):
        return repr(masked(keys[-1], value))
    return str(masked(keys[-1], repr(value)))
