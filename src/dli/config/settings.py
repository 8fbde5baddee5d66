"""Read the settings, each from the source with the highest precedence.

In order of precedence: an option, a ``DLI_*`` variable, ``.dli.local.yaml``, ``dli.yaml``, the
user's own file (specification 21.1). The values of the chosen environment override the plain
values of all three files. Files are read only if no option or variable gives the setting.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dataspec.environment import user_folder
from dataspec.errors import InvalidSettings, InvalidUsage, Refused
from dli.client.addresses import DEFAULT_SERVER_URL, PLAIN_HTTP_HOSTS, parse_address
from dli.project.paths import PROJECT_FILES, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dataspec.trust import Permission, Trust
    from dli.config.files import Keys, Place, SettingsFile

    Parts = dict[str, Place]
    """The positions of a connection's parts, by ``url`` and ``options.NAME``."""

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
"""The environment variable of each setting that has one."""

OTHER_VARIABLES = ("DLI_TOKEN", "DLI_CREDENTIALS", PLAIN_HTTP_HOSTS)
"""The variables that are no settings: what identifies the user, where it is kept, where it may go without TLS."""

_OPTION = "options."
_SCHEMA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

OPTIONS = {"env": "--env", "server.url": "--server-url", "store.url": "--store"}
"""The option of each setting that has one."""


class Setting(NamedTuple):
    """A setting's value and its origin."""

    key: str
    value: Any
    origin: str


class Connection(NamedTuple):
    """A connection as defined on this machine."""

    url: str
    options: dict[str, Any]
    origin: str


class Settings:
    """The settings of one command.

    Args:
        root: The project's folder.
        options: The values of options by setting; None for an option that was not given.
        environ: The environment variables.
        ask: Asks the user to grant a permission; None without a terminal.
    """

    def __init__(
        self,
        root: Path,
        options: Mapping[str, str | None],
        environ: Mapping[str, str],
        ask: Callable[[Permission], bool] | None = None,
    ) -> None:
        self.root = root
        self._options = options
        self._environ = environ
        self._ask = ask

    @property
    def env(self) -> str | None:
        """The chosen environment."""
        given = self._given("env")
        return given.value if given else None

    @property
    def server_url(self) -> str:
        """The server's address.

        Raises:
            Refused: When the address is in a project's file with credentials that need a permission.
        """
        setting = self.get("server.url")
        if (permission := self._server_permission(setting)) is not None:
            self._trust.require(permission)
        return str(setting.value)

    @property
    def timeout_seconds(self) -> float:
        """The timeout of a call to the server, in seconds."""
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
        """The folder of the project's specs.

        Raises:
            InvalidSettings: When a project's file names a folder outside the project.
        """
        setting = self.get("datasets_dir")
        folder = self.root / str(setting.value)
        if setting.origin != VARIABLES["datasets_dir"] and not _is_within(folder, self.root):
            raise InvalidSettings(
                f"{setting.origin}: 'datasets_dir' is outside the project: {setting.value}",
                detail=f"Name a folder below {self.root.resolve()}.",
            )
        return folder

    @property
    def user(self) -> str:
        """The user's name for the server's records; the login by default."""
        return str(self.get("user").value)

    @property
    def schema(self) -> str | None:
        """The developer's own schema in the chosen environment (specification 23.16).

        Raises:
            InvalidSettings: When it can't be the name of a schema.
        """
        found = self._in_files(("schema",), self._environ) if self.env is not None else None
        if found is not None and not _SCHEMA_NAME.fullmatch(str(found.value)):
            raise InvalidSettings(
                f"{found.origin}: '{found.value}' can't be a schema: use letters, digits and '_'."
            )
        return str(found.value) if found else None

    def get(self, key: str) -> Setting:
        """Return a setting, such as ``server.url``, from the source with the highest precedence.

        Raises:
            InvalidSettings: When a file is invalid, or the value
                uses a variable that is not set.
            InvalidUsage: When the chosen environment is not defined.
        """
        given = self._given(key)
        if self.env is not None:
            self._check_files()
        found = given or self._in_files(tuple(key.split(".")), self._environ)
        return found or Setting(key, self._defaults[key], "default")

    def all(self) -> list[Setting]:
        """Return every setting, connections included; the origin of an unusable one is the error."""
        self._check_files()
        plain = [
            self._found(key) or Setting(key, default, "default") for key, default in self._defaults.items()
        ]
        schema = self._in_files_or_why(("schema",)) if self.env is not None else None
        return [*plain, *([schema] if schema else []), *self._connections()]

    def unread_variables(self) -> list[str]:
        """Return the ``DLI_*`` variables that are set but not used."""
        known = {*VARIABLES.values(), *OTHER_VARIABLES}
        return sorted(name for name in self._environ if name.startswith("DLI_") and name not in known)

    def overridden_by_variable(self) -> Setting | None:
        """Return the variable that overrides the server of the chosen environment; None if there is none."""
        given = self._given("server.url")
        if given is None or given.origin != VARIABLES["server.url"] or self.env is None:
            return None
        keys = ("environments", self.env, "server", "url")
        return given if any(file.get(keys) for file in self._files) else None

    def _given(self, key: str) -> Setting | None:
        """Return a setting from its option or variable."""
        if option := self._options.get(key):
            return Setting(key, option, OPTIONS[key])
        variable = VARIABLES.get(key)
        if variable is not None and self._environ.get(variable):
            return Setting(key, self._environ[variable], variable)
        return None

    def _found(self, key: str) -> Setting | None:
        return self._given(key) or self._in_files_or_why(tuple(key.split(".")))

    def _in_files_or_why(self, keys: Keys) -> Setting | None:
        """Return a setting with its secrets hidden, or with the error as its origin."""
        try:
            return self._in_files(keys, self._shown_environ)
        except InvalidSettings as error:
            return Setting(".".join(keys), None, error.title)

    def _in_files(self, keys: Keys, environ: Mapping[str, str]) -> Setting | None:
        place = self._place(keys)
        return Setting(".".join(keys), place.expanded(environ), place.origin) if place else None

    def _place(self, keys: Keys) -> Place | None:
        """Return the position of a setting in the file with the highest precedence."""
        places = (file.get((*prefix, *keys)) for file, prefix in self._places())
        return next(filter(None, places), None)

    @cached_property
    def _shown_environ(self) -> dict[str, str]:
        """The environment variables, with secret values hidden."""
        from dli.config.masking import masked

        return {
            name: value if name in {"PWD", "OLDPWD"} else str(masked(name, value)) if value else ""
            for name, value in self._environ.items()
        }

    def _places(self) -> Iterator[tuple[SettingsFile, Keys]]:
        """Yield the files and prefixes that may define a setting, by precedence."""
        if self.env is not None:
            yield from ((file, ("environments", self.env)) for file in self._files)
        yield from ((file, ()) for file in self._files)

    def _check_files(self) -> None:
        """Read the files; raise if one is invalid, or if none defines the chosen environment."""
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
        paths = self._paths()
        if not paths:
            return ()
        from dataspec.trust import check_owner
        from dli.config.files import SettingsFile

        for path in paths:
            check_owner(path, shown(path), self._trust)
        mine = self._user_file()
        return tuple(SettingsFile(path, shown(path), of_project=path != mine) for path in paths)

    def _paths(self) -> list[Path]:
        """Return the existing settings files, by precedence."""
        paths = (*(self.root / name for name in PROJECT_FILES), self._user_file())
        return [path for path in paths if path.is_file()]

    def _user_file(self) -> Path:
        return user_folder(self._environ) / "config.yaml"

    def connection_names(self) -> list[str]:
        """Return the names of the connections that the files define."""
        places = self._places()
        return sorted({name for file, prefix in places for name in file.names((*prefix, "connections"))})

    def connection(self, name: str) -> Connection | None:
        """Return a connection's definition; None if no file defines it.

        Raises:
            InvalidSettings: When a file is invalid, a variable is not set, or ``url`` is missing.
        """
        self._check_files()
        if name not in self.connection_names():
            return None
        return self._connection(name, _parts_of(name, self._places()))

    def require_unprotected(self, name: str) -> None:
        """Check that datasets may run on a connection from here.

        Raises:
            Refused: When the connection is protected.
        """
        place = self._place(("connections", name, "protected"))
        if place is not None and place.value:
            raise Refused(
                f"The connection '{name}' is protected ({place.origin}): no dataset runs on it from here.",
                detail="Let Airflow run it, with: dli workflow run NAME",
            )

    def require_permission(self, name: str) -> None:
        """Check the permission to send the user's credentials over a connection (specification 21.8).

        Raises:
            Refused: When a project's file names the machine and the permission is missing.
        """
        if (permission := self._connection_permission(name, _parts_of(name, self._places()))) is not None:
            self._trust.require(permission)

    @property
    def sign_in_permission(self) -> Permission | None:
        """The permission to sign in to the server; None for one that the user has chosen (specification 26.65)."""
        place = None if self._given("server.url") else self._place(("server", "url"))
        if place is None or not place.file.of_project:
            return None
        address = parse_address(str(place.expanded(self._environ)))
        if str(address) in self._own_addresses():
            return None
        from dataspec.trust import Permission

        return Permission(
            f"sign-in {address}",
            place.origin,
            f"the file names {address} as the server that gets your sign-in",
        )

    def may_sign_in(self) -> bool:
        """Tell whether a token may go to the server; on a terminal, ask for the permission that it needs."""
        permission = self.sign_in_permission
        return permission is None or self._trust.obtained(permission)

    def require_sign_in_permission(self) -> None:
        """Check that a token may go to the server.

        Raises:
            Refused: When a project's file names it and the permission is missing.
        """
        if (permission := self.sign_in_permission) is not None:
            self._trust.require(permission)

    @property
    def trust_command(self) -> str:
        """The command that grants the permissions of the project, in the chosen environment."""
        return self._trust.command + (f" --env {self.env}" if self.env else "")

    def _own_addresses(self) -> set[str]:
        """Return the servers of the user's own file; the default one without any."""
        mine = [file for file in self._files if not file.of_project]
        prefixes: list[Keys] = [(), *(("environments", name) for file in mine for name in file.environments)]
        places = (file.get((*prefix, "server", "url")) for file in mine for prefix in prefixes)
        named = [str(place.expanded(self._environ)) for place in places if place]
        return {str(parse_address(url)) for url in named or [DEFAULT_SERVER_URL]}

    def grant_permissions(self) -> list[Permission]:
        """Grant all permissions that the project's files need; return the new ones."""
        from dataspec.trust import owner_permission

        found = (owner_permission(path, shown(path)) for path in self._paths())
        # Owners first: the other permissions are found by reading the files.
        return [*self._granted(filter(None, found)), *self._granted(self._permissions())]

    def _granted(self, permissions: Iterable[Permission]) -> list[Permission]:
        """Grant permissions; return the new ones."""
        new = [it for it in dict.fromkeys(permissions) if not self._trust.granted(it)]
        if new:
            self._trust.grant(new)
        return new

    @cached_property
    def _trust(self) -> Trust:
        from dataspec.trust import Trust

        return Trust(self.root, self._environ, self._ask)

    def _permissions(self) -> Iterator[Permission]:
        """Yield the permissions that the chosen environment needs, except those of owners."""
        self._check_files()
        if (server := self._server_permission(self.get("server.url"))) is not None:
            yield server
        if (sign_in := self.sign_in_permission) is not None:
            yield sign_in
        shared = shown(self.root / PROJECT_FILES[-1])  # all that `basecamp dev` reads
        alone: list[tuple[SettingsFile, Keys]] = [(file, ()) for file in self._files if file.shown == shared]
        for name in self.connection_names():
            for places in (self._places(), alone):
                with suppress(InvalidSettings):  # raised by the command that opens the connection
                    if (permission := self._connection_permission(name, _parts_of(name, places))) is not None:
                        yield permission

    def _server_permission(self, setting: Setting) -> Permission | None:
        """Return the permission to send the credentials in a server address of a project's file."""
        if self._given("server.url") or "@" not in str(setting.value):
            return None
        place = self._place(("server", "url"))
        address = parse_address(str(setting.value))
        if place is None or not place.file.of_project or address.credentials is None:
            return None
        from dataspec.trust import Permission

        return Permission(
            f"server {address}", setting.origin, f"the address of the server {address} holds credentials"
        )

    def _connection_permission(self, name: str, parts: Parts) -> Permission | None:
        projects = [place for place in parts.values() if place.file.of_project]
        if not projects:
            return None
        connection = self._connection(name, parts)
        from dataspec.engines.addresses import EngineAddress
        from dataspec.trust import connection_permission, implicit_credentials

        try:
            address = EngineAddress.read(connection.url, connection.options, self.root)
        except ValueError:
            return None  # the connection can't be opened
        named = {variable for place in parts.values() for variable in place.variables}
        sent = {variable for variable in named if self._environ.get(variable)}
        sent |= implicit_credentials(address, self._environ)
        if len(projects) < len(parts):
            sent.add(f"its settings in {shown(self._user_file())}")
        written = {key: place.value for key, place in parts.items()}
        return connection_permission(name, connection.origin, written, sent, address)

    def _connection(self, name: str, parts: Parts) -> Connection:
        values = {key: place.expanded(self._environ) for key, place in parts.items()}
        if "url" not in values:
            raise InvalidSettings(
                f"The connection '{name}' has no 'url'.", detail="Such as: url: duckdb:///warehouse.duckdb"
            )
        url = str(values.pop("url"))
        options = {key.removeprefix(_OPTION): value for key, value in values.items()}
        return Connection(url, options, parts["url"].origin)

    def _connections(self) -> Iterator[Setting]:
        for name in self.connection_names():
            for key in (*_parts_of(name, self._places()), "protected"):
                if setting := self._in_files_or_why(("connections", name, *key.split(".", 1))):
                    yield setting


def _parts_of(name: str, places: Iterable[tuple[SettingsFile, Keys]]) -> Parts:
    """Return the positions of a connection's ``url`` and of its options."""
    parts: Parts = {}
    for file, prefix in places:
        at: Keys = (*prefix, "connections", name)
        options = ((_OPTION + option, (*at, "options", option)) for option in file.names((*at, "options")))
        for key, keys in (("url", (*at, "url")), *options):
            if (place := file.get(keys)) is not None:
                parts.setdefault(key, place)
    return {key: parts[key] for key in sorted(parts, key=lambda key: key != "url")}


def _is_within(folder: Path, root: Path) -> bool:
    """Return whether a folder is inside another, with links resolved."""
    return folder.resolve().is_relative_to(root.resolve())


def _login(environ: Mapping[str, str]) -> str:
    """Return the login name."""
    named = next((environ[name] for name in ("LOGNAME", "USER", "USERNAME") if environ.get(name)), None)
    if named is not None:
        return named
    try:
        from pwd import getpwuid

        return getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return "unknown"
