"""The sign-ins that ``dli login`` has kept: one file for each server, which says where its token is."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from dataspec.environment import user_folder
from dataspec.errors import InvalidSettings
from dataspec.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dli.client.addresses import Address

_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSignIn:
    """A sign-in to one server; the token is in the file itself, or in a keyring."""

    server: str
    """The server's address, with scheme, host, port and path."""
    name: str
    """The user's name at the server."""
    expires_at: datetime
    token: str | None = field(default=None, repr=False)
    keyring: str | None = None
    """The class of the keyring that has the token."""

    @classmethod
    def from_json(cls, data: dict[str, str | None]) -> KeptSignIn:
        """Return a sign-in as it was kept.

        Raises:
            ValueError, TypeError, KeyError: When it is damaged.
        """
        server, name, token, keyring = (data.get(key) for key in ("server", "name", "token", "keyring"))
        expires_at = datetime.fromisoformat(data["expires_at"] or "")
        if not server or not name or not (token or keyring) or expires_at.tzinfo is None:
            raise ValueError
        return cls(server=server, name=name, expires_at=expires_at, token=token, keyring=keyring)

    def to_json(self) -> dict[str, str | None]:
        """Return the sign-in for :meth:`from_json`."""
        return {
            "server": self.server,
            "name": self.name,
            "expires_at": self.expires_at.isoformat(),
            "token": self.token,
            "keyring": self.keyring,
        }


class KeptSignIns:
    """The folder of the kept sign-ins.

    Args:
        environ: The environment, which names the user's folder.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = user_folder(environ) / "sign-ins"

    def path(self, server: Address) -> Path:
        """Return the file of a server."""
        return self.folder / f"{quote(str(server), safe='')}.json"

    def read(self, server: Address) -> KeptSignIn | None:
        """Return the sign-in to a server; None without one.

        Raises:
            InvalidSettings: When others may have read or written its file, or it can't be read.
        """
        path = self.path(server)
        try:
            with path.open("rb") as file:
                self._check_is_own(path, os.fstat(file.fileno()).st_mode)
                kept = KeptSignIn.from_json(json.load(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise InvalidSettings(
                f"Can't read {path}, where the sign-in to {server} is kept: {reason}.",
                detail="Remove it and sign in again: dli login",
            ) from None
        return kept if kept.server == str(server) else None

    def check_writable(self) -> None:
        """Make the folder.

        Raises:
            InvalidSettings: When no sign-in can be kept in it.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.folder / ".writable", b"", mode=0o600)
            (self.folder / ".writable").unlink()
        except OSError as error:
            raise InvalidSettings(
                f"No sign-in can be kept in {self.folder}: {error.strerror}.",
                detail="XDG_CONFIG_HOME names another folder for your settings; or set DLI_TOKEN to a token.",
            ) from None

    def write(self, server: Address, kept: KeptSignIn) -> None:
        """Keep the sign-in to a server.

        Raises:
            OSError: When it can't be written.
        """
        write_atomically(self.path(server), json.dumps(kept.to_json(), indent=2) + "\n", mode=0o600)

    def remove(self, server: Address) -> None:
        """Forget the sign-in to a server.

        Raises:
            OSError: When it can't be removed.
        """
        self.path(server).unlink(missing_ok=True)

    def _check_is_own(self, path: Path, mode: int) -> None:
        """Refuse a file that another user owns, or may read or write."""
        from dataspec.trust import foreign_owners

        if foreign_owners(path):
            reason = "it, its folder or a link to it belongs to another user"
        elif mode & _FOR_OTHERS:
            reason = f"other users may use it (its mode is {stat.S_IMODE(mode):o}, not 600)"
        else:
            return
        raise InvalidSettings(
            f"{path} is not read: {reason}.",
            detail="Others may know the token in it. Remove the file and sign in again: dli login",
        )
