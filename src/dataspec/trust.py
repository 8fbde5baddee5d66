"""Check the owner of settings files and the permissions that the user granted to a project (specification 21.7, 21.8).

The settings of a cloned project come from its authors. The table of keys in ``dli.config.files`` says which of
them need a permission. Permissions are stored in the user's folder, never in the project.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from dataspec.environment import user_folder
from dataspec.errors import InvalidSettings, Refused
from dataspec.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from dataspec.engines.addresses import EngineAddress

FILE = "trusted.json"
"""The file in the user's folder with the granted permissions, by the project's folder."""

_WITHOUT_HOST = frozenset({"postgres", "mysql", "sqlite"})
"""Types of engines that are on this machine if the URL names no host."""

_REDIRECTING = ("host", "addr", "account", "service", "server", "proxy", "endpoint", "url", "dsn")
"""Parts of the names of options that may set another host than the URL's."""

_BORROWING = frozenset({"service", "passfile", "connection_name", "private_key_file"})
"""Options of drivers that name a file, or an entry in one, with credentials of the user."""


class Permission(NamedTuple):
    """An action of a project's files that the user has to grant, once for the project."""

    identity: str
    """The stored identity; for any other, such as another server, the user is asked again."""
    place: str
    """The file, with line and column where there are any."""
    what: str
    """The action, as the end of a sentence that begins with the place."""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Trust:
    """The permissions that the user granted to a project.

    Args:
        project: The project's folder.
        environ: The environment, which names the user's folder.
        ask: Asks the user for a permission; None without a terminal.
    """

    def __init__(
        self, project: Path, environ: Mapping[str, str], ask: Callable[[Permission], bool] | None = None
    ) -> None:
        self._project = project
        self._file = user_folder(environ) / FILE
        self._ask = ask

    def require(self, permission: Permission) -> None:
        """Check that a permission was granted; on a terminal, ask for it.

        Raises:
            Refused: Without the permission; the message says how to grant it.
        """
        if not self.obtained(permission):
            raise self.refusal(permission)

    def obtained(self, permission: Permission) -> bool:
        """Tell whether a permission was granted; on a terminal, ask for it, once in a command."""
        if self.granted(permission):
            return True
        if self._ask is not None and self._ask(permission):
            self.grant([permission])
            return True
        self._ask = None
        return False

    @property
    def command(self) -> str:
        """The command that grants the permissions of the project."""
        return f"dli config trust --path {quote(self._key)}"

    def refusal(self, permission: Permission) -> Refused:
        """Return the error for a permission that was not granted."""
        return Refused(
            f"{permission}.",
            detail="You have not agreed to that for this project. Look at its settings; if they are right, run:\n"
            f"{self.command}\n"
            "If this is not your project, name the folder of yours with --path.",
        )

    def granted(self, permission: Permission) -> bool:
        """Tell whether the user granted a permission."""
        return permission.identity in self._kept.get(self._key, ())

    def grant(self, permissions: Iterable[Permission]) -> None:
        """Store permissions that the user grants."""
        known = self._kept.get(self._key, [])
        added = [permission.identity for permission in permissions]
        self._kept[self._key] = list(dict.fromkeys([*known, *added]))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self._kept, indent=2, ensure_ascii=False) + "\n"
            write_atomically(self._file, text, mode=0o600)
        except OSError as error:
            raise InvalidSettings(
                f"Can't keep what you agreed to in {self._file}: {error.strerror}.",
                detail="XDG_CONFIG_HOME names the folder above it.",
            ) from error

    @cached_property
    def _key(self) -> str:
        return str(self._project.resolve())

    @cached_property
    def _kept(self) -> dict[str, list[str]]:
        if not self._file.is_file() or foreign_owners(self._file):
            return {}
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(project): list(map(str, permissions)) for project, permissions in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            raise InvalidSettings(
                f"Can't read {self._file}, where dli keeps what you agreed to.",
                detail="Remove it; dli then asks again.",
            ) from None


def connection_permission(
    name: str, place: str, written: Mapping[str, Any], sent: Iterable[str], address: EngineAddress
) -> Permission | None:
    """Return the permission that a project needs before its connection is opened.

    Args:
        name: The connection's name.
        place: The place of its URL.
        written: Its URL and options before the substitution of variables.
        sent: The user's data that the connection sends, such as the names of variables.
        address: The address of its engine.

    Returns:
        None if it sends no data of the user, or stays on this machine.
    """
    named = ", ".join(sorted(set(sent)))
    if not named or _stays_here(address):
        return None
    from hashlib import sha256  # here, as in what follows: every command of a project loads this module

    digest = sha256(json.dumps(written, sort_keys=True, default=str).encode()).hexdigest()
    known = address.host and address.host in str(written["url"]).lower()
    where = address.host if known else "a server that a variable or an option names"
    return Permission(
        f"connection {name} {digest}", place, f"the connection '{name}' sends {named} to {where}"
    )


def implicit_credentials(address: EngineAddress, environ: Mapping[str, str]) -> set[str]:
    """Return the user's credentials that the driver reads on its own or an option points to."""
    found = {f"what the option '{key}' points to" for key in address.options if key in _BORROWING}
    if address.kind == "postgres":
        found |= {name for name in ("PGPASSWORD", "PGSERVICE") if environ.get(name)}
    return found


def _stays_here(address: EngineAddress) -> bool:
    if address.kind == "duckdb":
        return True
    if any(part in key.lower() for key in address.options for part in _REDIRECTING):
        return False
    return _is_loopback(address.host) if address.host else address.kind in _WITHOUT_HOST


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_owner(file: Path, shown: str, trust: Trust) -> None:
    """Check that a settings file and its folder belong to the user or to root.

    Raises:
        Refused: If they do not, without a permission. Never asks: shell completion reads settings too.
    """
    permission = owner_permission(file, shown)
    if permission is not None and not trust.granted(permission):
        raise trust.refusal(permission)


def owner_permission(file: Path, shown: str) -> Permission | None:
    """Return the permission that reading a settings file needs; None for the user's own."""
    owners = foreign_owners(file)
    if not owners:
        return None
    names = " and ".join(map(_login_of, owners))
    return Permission(
        f"owner {' '.join(map(str, owners))} of {file.name}",
        shown,
        f"the file, a link on the way to it or its folder belongs to another user ({names}), so it is not read",
    )


def foreign_owners(file: Path) -> list[int]:
    """Return the owners, other than the user and root, of a file, of links to it, and of their folders.

    Under ``sudo`` the calling user counts as well. On Windows, which has no such ids, there are none.
    """
    if not hasattr(os, "geteuid"):
        return []
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        trusted.add(int(os.environ["SUDO_UID"]))
    owners = {path.lstat().st_uid for step in _steps_to(file.absolute()) for path in (step, step.parent)}
    return sorted(owners - trusted)


def _steps_to(file: Path) -> Iterator[Path]:
    """Yield each link on the way to a file, then the file."""
    while file.is_symlink():
        yield file
        file = file.parent / file.readlink()
    yield file
    yield file.resolve()


def _login_of(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"
