"""Settings: each from the strongest place that gives it.

Strongest first: an option, a ``DLI_*`` variable, ``.dli.local.yaml``, ``dli.yaml``, the
user's own file (decisions 8). The values of a chosen environment stand before the plain
values of all three files. Files are read only when nothing stronger decides.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dataspec.errors import InvalidSettings, InvalidUsage
from dli.addresses import DEFAULT_SERVER_URL
from dli.paths import PROJECT_FILES, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dli.settings_files import Keys, SettingsFile

DEFAULT_TIMEOUT_SECONDS = 30
DEFAULT_FOLDER = "datasets"

VARIABLES = {
    "env": "DLI_ENV",
    "server.url": "DLI_SERVER_URL",
    "server.timeout_seconds": "DLI_SERVER_TIMEOUT_SECONDS",
    "store.url": "DLI_STORE_URL",
    "datasets_dir": "DLI_DATASETS_DIR",
    "user": "DLI_USER",
}
"""The settings that a variable may give, and its name."""

OPTIONS = {"env": "--env", "server.url": "--server-url", "store.url": "--store"}
"""The settings that an option may give, and its name."""


class Setting(NamedTuple):
    """A setting's value, and where it came from."""

    key: str
    value: Any
    origin: str


class Connection(NamedTuple):
    """What a connection is on this machine."""

    url: str
    options: dict[str, Any]
    origin: str


class Settings:
    """The settings of one command.

    Args:
        root: The project's folder.
        options: What options gave, by setting; None for those that were not given.
        environ: The environment's variables.
    """

    def __init__(self, root: Path, options: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
        self.root = root
        self._options = options
        self._environ = environ

    @property
    def env(self) -> str | None:
        """The chosen environment."""
        given = self._given("env")
        return given.value if given else None

    @property
    def server_url(self) -> str:
        """The server's address."""
        return str(self.get("server.url").value)

    @property
    def timeout_seconds(self) -> float:
        """How long a call to the server may take."""
        setting = self.get("server.timeout_seconds")
        try:
            seconds = float(setting.value)
        except ValueError:
            seconds = 0
        if not 0 < seconds <= 24 * 3600:
            raise InvalidSettings(
                f"{setting.origin}: 'server.timeout_seconds' must be a number of seconds above 0, "
                f"got '{setting.value}'."
            )
        return seconds

    @property
    def datasets_dir(self) -> Path:
        """The folder in which the project's specs are."""
        return self.root / str(self.get("datasets_dir").value)

    @property
    def user(self) -> str:
        """Who acts: the name of the login, unless it is set."""
        return str(self.get("user").value)

    def get(self, key: str) -> Setting:
        """Return a setting, such as ``server.url``, from the strongest place that gives it.

        Raises:
            InvalidSettings: When a file that had to be read holds a mistake, or the value
                names a variable that is not set.
            InvalidUsage: When the chosen environment is not defined.
        """
        given = self._given(key)
        if self.env is not None:
            self._check_files()
        found = given or self._in_files(tuple(key.split(".")))
        return found or Setting(key, self._defaults[key], "default")

    def all(self) -> list[Setting]:
        """Return every setting, connections included; one that can't be filled in says why in its origin."""
        self._check_files()
        plain = [
            self._found(key) or Setting(key, default, "default") for key, default in self._defaults.items()
        ]
        return [*plain, *self._connections()]

    def unread_variables(self) -> list[str]:
        """Return the ``DLI_*`` variables that are set and that nothing reads."""
        known = set(VARIABLES.values())
        return sorted(name for name in self._environ if name.startswith("DLI_") and name not in known)

    def overridden_by_variable(self) -> Setting | None:
        """Return the server's address in a variable, where it stands before that of the chosen environment."""
        given = self._given("server.url")
        if given is None or given.origin != VARIABLES["server.url"] or self.env is None:
            return None
        keys = ("environments", self.env, "server", "url")
        return given if any(file.get(keys) for file in self._files) else None

    def _given(self, key: str) -> Setting | None:
        """Return a setting that an option or a variable gives."""
        if option := self._options.get(key):
            return Setting(key, option, OPTIONS[key])
        variable = VARIABLES.get(key)
        if variable is not None and self._environ.get(variable):
            return Setting(key, self._environ[variable], variable)
        return None

    def _found(self, key: str) -> Setting | None:
        return self._given(key) or self._in_files_or_why(tuple(key.split(".")))

    def _in_files_or_why(self, keys: Keys) -> Setting | None:
        try:
            return self._in_files(keys)
        except InvalidSettings as error:
            return Setting(".".join(keys), None, error.title)

    def _in_files(self, keys: Keys) -> Setting | None:
        key = ".".join(keys)
        for file, prefix in self._places():
            if found := file.get((*prefix, *keys)):
                value, origin = found
                return Setting(key, self._expanded(value, origin), origin)
        return None

    def _expanded(self, value: Any, origin: str) -> Any:
        if not isinstance(value, str) or "$" not in value:
            return value
        from dli.settings_files import expanded

        return expanded(value, self._environ, where=origin)

    def _places(self) -> Iterator[tuple[SettingsFile, Keys]]:
        """Yield where a setting may stand, strongest first."""
        if self.env is not None:
            yield from ((file, ("environments", self.env)) for file in self._files)
        yield from ((file, ()) for file in self._files)

    def _check_files(self) -> None:
        """Read the files; raise for a mistake in one, or where none defines the chosen environment."""
        known = sorted({name for file in self._files for name in file.environments})
        if self.env is None or self.env in known:
            return
        from dataspec.problems import nearest

        hint = nearest(self.env, known) or (f"Defined: {', '.join(known)}." if known else "None is defined.")
        raise InvalidUsage(f"No environment '{self.env}' in the settings files.", detail=hint)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            "env": None,
            "server.url": DEFAULT_SERVER_URL,
            "server.timeout_seconds": DEFAULT_TIMEOUT_SECONDS,
            "store.url": None,
            "user": _login(self._environ),
            "name": self.root.resolve().name,
            "datasets_dir": DEFAULT_FOLDER,
        }

    @cached_property
    def _files(self) -> tuple[SettingsFile, ...]:
        paths = [
            path
            for path in (*(self.root / name for name in PROJECT_FILES), self._user_file())
            if path.is_file()
        ]
        if not paths:
            return ()
        from dli.settings_files import SettingsFile

        return tuple(SettingsFile(path, shown(path)) for path in paths)

    def _user_file(self) -> Path:
        folder = self._environ.get("XDG_CONFIG_HOME")
        base = Path(folder) if folder else Path(self._environ.get("HOME") or Path.home()) / ".config"
        return base / "dli" / "config.yaml"

    def connection_names(self) -> list[str]:
        """Return the names of the connections that the files define."""
        places = self._places()
        return sorted({name for file, prefix in places for name in file.names((*prefix, "connections"))})

    def connection(self, name: str) -> Connection | None:
        """Return what a connection is on this machine; None if no file says.

        Raises:
            InvalidSettings: When a file holds a mistake, a variable is not set, or there is no ``url``.
        """
        self._check_files()
        if name not in self.connection_names():
            return None
        url, *options = (self._in_files(keys) for keys in self._keys_of(name))
        if url is None:
            raise InvalidSettings(
                f"The connection '{name}' has no 'url'.", detail="Such as: url: duckdb:///warehouse.duckdb"
            )
        named = {setting.key.rpartition(".")[2]: setting.value for setting in options if setting}
        return Connection(str(url.value), named, url.origin)

    def _connections(self) -> Iterator[Setting]:
        for name in self.connection_names():
            for keys in self._keys_of(name):
                if setting := self._in_files_or_why(keys):
                    yield setting

    def _keys_of(self, name: str) -> list[Keys]:
        """Return where a connection's url stands, then each of its options."""
        at: Keys = ("connections", name)
        options = {
            key: None for file, prefix in self._places() for key in file.names((*prefix, *at, "options"))
        }
        return [(*at, "url"), *((*at, "options", option) for option in options)]


def _login(environ: Mapping[str, str]) -> str:
    """Return the name of the person at this machine."""
    named = next((environ[name] for name in ("LOGNAME", "USER", "USERNAME") if environ.get(name)), None)
    if named is not None:
        return named
    try:
        from pwd import getpwuid

        return getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return "unknown"
