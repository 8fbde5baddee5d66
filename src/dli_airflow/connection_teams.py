"""Which teams' specs may use a connection, from a file on this machine (``docs/access.md``, "Connections")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dataspec.errors import InvalidSettings
from dataspec.spec.connection_teams import ConnectionTeams

CONNECTIONS_FILE = "DLI_CONNECTIONS_FILE"


def connection_teams(environment: Mapping[str, str]) -> ConnectionTeams:
    """Return the teams of each limited connection; none is limited without the variable ``DLI_CONNECTIONS_FILE``.

    Raises:
        InvalidSettings: When the file can't be read, or has no valid entry: no attempt may run then.
    """
    path = environment.get(CONNECTIONS_FILE, "").strip()
    if not path:
        return ConnectionTeams()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSettings(f"{path}, named by {CONNECTIONS_FILE}, can't be read: {reason}.") from None
    teams = ConnectionTeams.parse(text, path)
    if not teams:  # a file that is cut off must not open every connection
        raise InvalidSettings(f"{path}, named by {CONNECTIONS_FILE}, has no entry. Unset {CONNECTIONS_FILE}.")
    return teams
